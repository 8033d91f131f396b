/** Transactions: whole or not at all, seen when they are committed, and any number of writers in any number of processes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RegistryError } from '../../../oci/errors.ts'
import { accountByName, createAccount } from '../../../storage/metadata/accounts.ts'
import { linkBlob, putBlob, totalBlobs } from '../../../storage/metadata/blobs.ts'
import type { Database } from '../../../storage/metadata/database.ts'
import { ensureRepository, repositoryByName } from '../../../storage/metadata/repositories.ts'
import { runChild } from '../../support/child.ts'
import { addRepository, repositoryName, sha256Of } from '../../support/metadata-rows.ts'
import { failureOf } from '../../support/refusal.ts'
import type { MetadataFactory } from './metadata-store.ts'

const name = repositoryName('team/app')
const find = (database: Database) => repositoryByName.first(database.read, { name })
const add = (content: string) => ({ digest: sha256Of(content), sizeBytes: content.length, nowMs: 1 })

export function transactionTests(create: MetadataFactory): void {
  for (const write of ['write', 'writeRelaxed'] as const) {
    test(`${write} gives what its work gives, and what it wrote is there`, async (t) => {
      const { database } = await create(t)
      const id = await database[write]((tx) => ensureRepository(tx, { name, visibility: 'public', nowMs: 5 }))
      assert.equal((await find(database))?.id, id)
    })

    test(`${write} undoes everything when its work fails, and throws what the work threw`, async (t) => {
      const { database } = await create(t)
      const refusal = new RegistryError('blobInUse')
      const error = await failureOf(
        database[write](async (tx) => {
          await putBlob(tx, add('a blob'))
          await ensureRepository(tx, { name, visibility: 'public', nowMs: 5 })
          throw refusal
        }),
      )
      assert.equal(error, refusal)
      assert.equal(await find(database), undefined)
      assert.deepEqual(await totalBlobs(database.read), { blobs: 0, bytes: 0 })
    })

    test(`${write} undoes what came before a statement that the database refuses`, async (t) => {
      const { database } = await create(t)
      const error = await failureOf(
        database[write](async (tx) => {
          await ensureRepository(tx, { name, visibility: 'public', nowMs: 5 })
          await tx.insertInto('blob').values({ digest: 'x', size_bytes: -1, stored_at_ms: 0, leased_at_ms: 0 }).execute()
        }),
      )
      assert.match(String(error), /constraint/i)
      assert.equal(await find(database), undefined)
    })

    test(`what ${write} has not committed is seen inside, and by nobody outside`, async (t) => {
      const { database, openAnother } = await create(t)
      const other = openAnother()
      await database[write](async (tx) => {
        await ensureRepository(tx, { name, visibility: 'public', nowMs: 5 })
        assert.equal((await repositoryByName.first(tx, { name }))?.visibility, 'public')
        assert.equal(await find(database), undefined)
        assert.equal(await find(other), undefined)
      })
      assert.ok(await find(database))
      assert.ok(await find(other))
    })
  }

  test('a prepared read sees what was committed last', async (t) => {
    const { database } = await create(t)
    const byName = database.prepare(repositoryByName)
    assert.equal(await byName({ name }), undefined)
    await addRepository(database, name, 'internal')
    assert.equal((await byName({ name }))?.visibility, 'internal')
  })

  test('of many writes at once, those that fail do not take others with them', async (t) => {
    const { database } = await create(t)
    const writes = Array.from({ length: 60 }, (_, index) =>
      database[index % 2 === 0 ? 'write' : 'writeRelaxed'](async (tx) => {
        await putBlob(tx, add(`blob ${index}`))
        if (index % 3 === 0) throw new Error(`of ${index}`)
        return index
      }),
    )
    const results = await Promise.allSettled(writes)
    for (const [index, result] of results.entries()) {
      if (index % 3 === 0) assert.match(String(result.status === 'rejected' && result.reason), new RegExp(`of ${index}$`))
      else assert.deepEqual(result, { status: 'fulfilled', value: index })
    }
    assert.equal((await totalBlobs(database.read)).blobs, 40)
  })

  test('a reference to nothing is refused', async (t) => {
    const { database } = await create(t)
    const error = await failureOf(
      database.write(async (tx) => {
        await putBlob(tx, add('a blob'))
        await linkBlob(tx, { repositoryId: 404, digest: sha256Of('a blob'), nowMs: 1 })
      }),
    )
    assert.match(String(error), /constraint failed/i)
    assert.deepEqual(await totalBlobs(database.read), { blobs: 0, bytes: 0 })
  })

  test('two handles that write at once both succeed, and neither loses what the other wrote', async (t) => {
    const { database, openAnother } = await create(t)
    const other = openAnother()
    await database.write((tx) => createAccount(tx, { name: 'counter', passwordHash: '0', isAdmin: false, nowMs: 1 }))
    const raise = (handle: Database) =>
      handle.writeRelaxed(async (tx) => {
        const account = await accountByName.first(tx, { name: 'counter' })
        const next = Number(account?.password_hash) + 1
        await tx
          .updateTable('account')
          .set({ password_hash: `${next}` })
          .where('name', '=', 'counter')
          .execute()
      })
    await Promise.all(Array.from({ length: 40 }, (_, index) => raise(index % 2 === 0 ? database : other)))
    assert.equal((await accountByName.first(database.read, { name: 'counter' }))?.password_hash, '40')
  })

  test('two processes that write at once both succeed, and a tag is never nothing or two things', async (t) => {
    const { database, location } = await create(t)
    const repositoryId = await addRepository(database, name)
    const child = new URL('writer-child.ts', import.meta.url)
    const results = await Promise.all(['one', 'two'].map((writer) => runChild(child, location, `${repositoryId}`, writer, '150')))
    assert.deepEqual(results, [{ written: 150 }, { written: 150 }])
    const rows = await database.read.selectFrom('tag').select(['digest', 'since_ms', 'until_ms']).orderBy('id').execute()
    assert.equal(rows.length, 300)
    assert.equal(rows.filter((row) => row.until_ms === null).length, 1)
    assert.equal((await totalBlobs(database.read)).blobs, 300)
  })

  test('a handle that was closed writes no more', async (t) => {
    const { openAnother } = await create(t)
    const closed = openAnother()
    await closed.close()
    await failureOf(closed.write((tx) => ensureRepository(tx, { name, visibility: 'public', nowMs: 5 })))
  })
}
