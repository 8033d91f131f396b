/** The files of migrations/sqlite: what was shipped is never edited, and each can run inside the one transaction it gets. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { suite, test } from 'node:test'
import { readMigrations } from '../../storage/metadata/migrate.ts'

const folder = new URL('../../migrations/sqlite/', import.meta.url)

/** A new step gets a new line. A line that no longer matches means that a step was edited which people's databases have taken: add another instead. */
const shipped: Readonly<Record<string, string>> = {
  '0001-core.sql': '956e66a092fc6dd3c2ee211b1e3fc658a7c624a5b3ff9d512b22c5c0bf0f6284',
  '0002-access.sql': 'ff107d868439c588cd8105ae5e9b0cbf2fe2c6997e979d04f7840be3b90adf2d',
  '0003-recovery-codes.sql': '8b4fbd8a8f2971fd3077ee78ffaa7768f0c0defb102312b7faba6f87da558263',
  '0004-rights-version.sql': 'd7aacbeb2ffcc7433380ac9d2b81a1ff5b565d9b9dfa6cdaa6b4dacf80d60beb',
  '0005-collection.sql': '4866a949b0e725f506fa8876925255a239bd6660658b9f791de8b7f3eeabde6f',
  '0006-scrub.sql': 'b1e845127fa3bda84b57b214e568010cd4ec33d365d5fcdce47cc87b66560e09',
  '0007-accounting.sql': '23150f8d02745058cceae0aa93eb92388bff39fa731cea71f498a38e46f06fee',
}

suite('the shipped steps', () => {
  test('are exactly those whose bytes are pinned', () => {
    const files = readdirSync(folder).filter((file) => file !== 'schema.sql')
    assert.deepEqual(files.toSorted(), Object.keys(shipped).toSorted())
  })

  for (const [file, hash] of Object.entries(shipped)) {
    test(`${file} is as it was shipped`, () => {
      assert.equal(
        createHash('sha256')
          .update(readFileSync(new URL(file, folder)))
          .digest('hex'),
        hash,
      )
    })
  }

  test('are numbered from one without gaps and found in order', () => {
    assert.deepEqual(
      readMigrations().map(({ version, name }) => `${String(version).padStart(4, '0')}-${name}.sql`),
      Object.keys(shipped).toSorted(),
    )
  })

  for (const { version, sql } of readMigrations()) {
    test(`step ${version} begins and ends no transaction and sets no pragma`, () => {
      const statements = sql.replaceAll(/--.*$/gm, '').split(';')
      const words = statements.map((statement) => statement.trim().toLowerCase().split(/\s/)[0] ?? '')
      // "end" is the last word of a trigger.
      for (const word of ['begin', 'commit', 'rollback', 'savepoint', 'pragma', 'vacuum', 'attach']) assert.ok(!words.includes(word), word)
    })
  }
})
