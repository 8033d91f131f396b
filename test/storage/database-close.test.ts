/**
 * A database that was closed is one file: whoever copies it needs nothing beside it.
 */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { suite, test } from 'node:test'
import { digestOf } from '../../oci/digest.ts'
import { linkedBlob, putBlob, totalBlobs } from '../../storage/metadata/blobs.ts'
import { Database } from '../../storage/metadata/database.ts'
import { migrate } from '../../storage/metadata/migrate.ts'
import { emptyDataFolder } from '../support/data-folder.ts'

const digest = digestOf('sha256', Buffer.from('content'))

const uses: Record<string, (database: Database) => Promise<unknown>> = {
  'after nothing': async () => undefined,
  'after reads that go past the query builder': (database) => database.prepare(linkedBlob)({ repositoryId: 1, digest }),
  'after reads through the query builder': (database) => totalBlobs(database.read),
  'after writes': (database) => database.write((tx) => putBlob(tx, { digest, sizeBytes: 1, nowMs: 1 })),
}

suite('a database that is closed', () => {
  for (const [name, use] of Object.entries(uses)) {
    test(`${name} has everything in its one file`, async (t) => {
      const layout = emptyDataFolder(t)
      await migrate(layout, 1)
      const database = Database.open(layout.database)
      await use(database)
      await database.close()
      assert.deepEqual(readdirSync(dirname(layout.database)), [basename(layout.database)])
    })
  }
})
