/** Properties of paging: whatever the entries, the page size and what changes meanwhile, nothing is told twice and nothing left out. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ensureRepository } from '../../storage/metadata/repositories.ts'
import { formatCursor, parseCursor } from '../../server/api/page.ts'
import { parseRepositoryName } from '../../oci/repository-name.ts'
import { Client, expectStatus, type Answer } from '../support/client.ts'
import { startRegistry } from '../support/start-registry.ts'

const name = fc.stringMatching(/^[a-c][0-9a-c]{0,2}(?:[/.-][a-c]{1,2})?$/)

interface Page {
  readonly items: readonly { readonly name: string }[]
  readonly next: string | null
}

test('pages of any size hold every entry once and in order, though others come and go between them', async (t) => {
  const registry = await startRegistry(t)
  const { database } = registry.services.registry
  const client = new Client(registry)
  const cases = fc.record({
    stay: fc.uniqueArray(name, { maxLength: 12 }),
    come: fc.uniqueArray(name, { maxLength: 4 }),
    limit: fc.integer({ min: 1, max: 13 }),
  })
  await fc.assert(
    fc.asyncProperty(cases, async ({ stay, come, limit }) => {
      const add = (names: readonly string[]) =>
        database.writeRelaxed(async (tx) => {
          for (const each of names) await ensureRepository(tx, { name: parseRepositoryName(each), visibility: 'private', nowMs: 1 })
        })
      await database.writeRelaxed((tx) => tx.deleteFrom('repository').execute())
      await add(stay)
      const found: string[] = []
      for (let query: string | undefined = `?limit=${limit}`; query !== undefined;) {
        const answer: Answer = await expectStatus(await client.call('GET', `/api/v1/repositories${query}`), 200)
        const { items, next } = JSON.parse(answer.bytes.toString()) as Page
        assert.ok(items.length <= limit && (next === null || items.length === limit))
        assert.equal(answer.headers.get('Link') !== null, next !== null)
        found.push(...items.map((item) => item.name))
        await add(come)
        query = next === null ? undefined : `?limit=${limit}&cursor=${next}`
      }
      assert.deepEqual(found, [...new Set(found)].toSorted(), 'each once, in byte order')
      assert.deepEqual(
        stay.filter((each) => !found.includes(each)),
        [],
      )
      assert.deepEqual(
        found.filter((each) => !stay.includes(each) && !come.includes(each)),
        [],
      )
    }),
    { numRuns: 60 },
  )
})

test('a cursor comes back as the key that it was made of, and anything else is none', () => {
  const key = fc.oneof(
    fc.tuple(fc.string({ unit: 'grapheme' })).map((parts) => ({ parts, kinds: ['text'] as const })),
    fc.tuple(fc.maxSafeInteger(), fc.maxSafeInteger()).map((parts) => ({ parts, kinds: ['number', 'number'] as const })),
    fc.tuple(fc.maxSafeInteger(), fc.string()).map((parts) => ({ parts, kinds: ['number', 'text'] as const })),
  )
  fc.assert(
    fc.property(key, ({ parts, kinds }) => {
      const cursor = formatCursor(parts)
      assert.match(cursor, /^[\w-]+$/, 'it needs no escaping')
      // JSON writes no -0.
      assert.deepEqual(
        parseCursor(cursor, kinds),
        parts.map((part) => (part === 0 ? 0 : part)),
      )
      assert.equal(parseCursor(cursor, [...kinds, 'text']), undefined)
    }),
  )
  fc.assert(fc.property(fc.string(), (text) => assert.ok(parseCursor(text, ['number', 'text']) === undefined)))
})
