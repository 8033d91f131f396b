/** Pushing a blob through a session: what is kept, what is refused, what is left behind. */
import assert from 'node:assert/strict'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { RegistryError } from '../../oci/errors.ts'
import { appendToUpload, cancelUpload, finishUpload, pushWholeBlob, startUpload, statUpload } from '../../registry/push-blob.ts'
import { openBlob } from '../../registry/read-blob.ts'
import { createRegistry, findRepository, type Registry } from '../../registry/registry.ts'
import type { Chunk } from '../../registry/upload-session.ts'
import type { SessionKey } from '../../storage/metadata/uploads.ts'
import { repositoryName, sha256Of } from '../support/metadata-rows.ts'
import { assertRejected, failureOf } from '../support/refusal.ts'
import { begin, chunk, ending, getRepository, inPieces, openFloor, pushBlob, withWrites, type Floor } from '../support/registry-floor.ts'

async function contentOf(registry: Registry, repository: string, content: string): Promise<string> {
  const reader = await openBlob(registry, await getRepository(registry, repository), sha256Of(content))
  const target = Buffer.alloc(reader.sizeBytes)
  await reader.read(target, 0)
  await reader.close()
  return target.toString()
}

const sessionsIn = (floor: Floor) => floor.database.read.selectFrom('upload_session').select(['id', 'writer']).execute()

async function assertNothingLeft(floor: Floor): Promise<void> {
  assert.deepEqual(await sessionsIn(floor), [])
  assert.deepEqual(readdirSync(floor.layout.uploads), [])
}

suite('starting an upload', () => {
  test('a session has no bytes, no file and no repository yet', async (t) => {
    const floor = await openFloor(t)
    const key = await begin(floor.registry, 'team/app')
    assert.equal(await statUpload(floor.registry, key), 0)
    assert.deepEqual(readdirSync(floor.layout.uploads), [])
    assert.equal(await findRepository(floor.registry, repositoryName('team/app')), undefined)
  })

  test('an account may have so many sessions and no more, until one ends', async (t) => {
    const { registry } = await openFloor(t, { maxUploadsPerAccount: 3 })
    const keys = [await begin(registry, 'a'), await begin(registry, 'b'), await begin(registry, 'c')]
    const error = await assertRejected('tooManyUploads', begin(registry, 'd'))
    assert.deepEqual([error.details, error.headers], [[{ limit: 3 }], { 'Retry-After': '60' }])
    await cancelUpload(registry, keys[0] as SessionKey)
    await begin(registry, 'd')
    await assertRejected(
      'tooManyUploads',
      pushWholeBlob(registry, { repository: repositoryName('e'), accountId: null }, { ...chunk('x'), digest: sha256Of('x') }),
    )
  })

  test('the sessions of one account do not count for another', async (t) => {
    const { registry, database } = await openFloor(t, { maxUploadsPerAccount: 1 })
    for (const name of ['alice', 'bob']) {
      await database.write((tx) => tx.insertInto('account').values({ name, password_hash: '', is_admin: 0, created_at_ms: 1 }).execute())
    }
    const start = (accountId: number | null) => startUpload(registry, { repository: repositoryName('a'), accountId, algorithm: 'sha256' })
    for (const accountId of [1, 2, null]) {
      await start(accountId)
      await assertRejected('tooManyUploads', start(accountId))
    }
  })
})

suite('appending to an upload', () => {
  test('chunks are appended where the session stands, with or without saying where', async (t) => {
    const { registry } = await openFloor(t)
    const key = await begin(registry, 'team/app')
    assert.equal(await appendToUpload(registry, key, chunk('abc')), 3)
    assert.equal(await appendToUpload(registry, key, chunk('defg', { range: { start: 3, end: 6 } })), 7)
    assert.equal(await appendToUpload(registry, key, chunk('', { announcedBytes: 0 })), 7)
    assert.equal(await appendToUpload(registry, key, chunk('hi', { announcedBytes: undefined })), 9)
    assert.equal(await statUpload(registry, key), 9)
    await finishUpload(registry, key, ending(sha256Of('abcdefghi')))
    assert.equal(await contentOf(registry, 'team/app', 'abcdefghi'), 'abcdefghi')
  })

  const refusals: readonly (readonly [
    what: string,
    chunk: () => Chunk,
    reason: 'uploadOutOfOrder' | 'uploadSizeMismatch',
    detail: object,
  ])[] = [
    ['begins before', () => chunk('xx', { range: { start: 2, end: 3 } }), 'uploadOutOfOrder', { bytesStored: 3 }],
    ['begins after', () => chunk('xx', { range: { start: 4, end: 5 } }), 'uploadOutOfOrder', { bytesStored: 3 }],
    ['begins at zero again', () => chunk('abc', { range: { start: 0, end: 2 } }), 'uploadOutOfOrder', { bytesStored: 3 }],
    ['has a range that cannot be read', () => chunk('xx', { range: 'malformed' }), 'uploadOutOfOrder', { bytesStored: 3 }],
    [
      'is announced longer than its range',
      () => chunk('xxx', { range: { start: 3, end: 4 } }),
      'uploadSizeMismatch',
      { rangeBytes: 2, announcedBytes: 3 },
    ],
    [
      'is announced shorter than its range',
      () => chunk('x', { range: { start: 3, end: 4 } }),
      'uploadSizeMismatch',
      { rangeBytes: 2, announcedBytes: 1 },
    ],
    ['is longer than announced', () => chunk('xxx', { announcedBytes: 2 }), 'uploadSizeMismatch', { expectedBytes: 2, receivedBytes: 3 }],
    ['is shorter than announced', () => chunk('x', { announcedBytes: 2 }), 'uploadSizeMismatch', { expectedBytes: 2, receivedBytes: 1 }],
    [
      'of unknown length is longer than its range',
      () => chunk('xxx', { announcedBytes: undefined, range: { start: 3, end: 4 } }),
      'uploadSizeMismatch',
      { expectedBytes: 2, receivedBytes: 3 },
    ],
  ]
  for (const [what, refused, reason, detail] of refusals) {
    test(`a chunk that ${what} is refused, and the session goes on as if it had not been sent`, async (t) => {
      const { registry } = await openFloor(t)
      const key = await begin(registry, 'team/app')
      await appendToUpload(registry, key, chunk('abc'))
      const error = await assertRejected(reason, appendToUpload(registry, key, refused()))
      assert.deepEqual(error.details, [detail])
      assert.equal(await statUpload(registry, key), 3)
      await appendToUpload(registry, key, chunk('def'))
      await finishUpload(registry, key, ending(sha256Of('abcdef')))
      assert.equal(await contentOf(registry, 'team/app', 'abcdef'), 'abcdef')
    })
  }

  test('a chunk out of order tells the client where the session stands', async (t) => {
    const { registry } = await openFloor(t)
    const key = await begin(registry, 'team/app')
    await appendToUpload(registry, key, chunk('abc'))
    const error = await assertRejected('uploadOutOfOrder', appendToUpload(registry, key, chunk('x', { range: { start: 9, end: 9 } })))
    assert.deepEqual(error.headers, { Location: `/v2/team/app/blobs/uploads/${key.id}`, Range: '0-2', 'Docker-Upload-UUID': key.id })
  })

  test('what arrived before a connection broke is kept, and the client goes on from there', async (t) => {
    const { registry } = await openFloor(t)
    const key = await begin(registry, 'team/app')
    const broken = new Error('the client left')
    const error = await assertRejected(
      'uploadInterrupted',
      appendToUpload(registry, key, { body: inPieces(['ab', 'c'], broken), announcedBytes: 10, range: undefined }),
    )
    assert.equal(error.cause, broken)
    assert.equal(await statUpload(registry, key), 3)
    await finishUpload(registry, key, { ...chunk('def'), digest: sha256Of('abcdef') })
    assert.equal(await contentOf(registry, 'team/app', 'abcdef'), 'abcdef')
  })

  test('a write that fails leaves the session where it stood', async (t) => {
    const { registry, blobs } = await openFloor(t)
    const key = await begin(registry, 'team/app')
    await appendToUpload(registry, key, chunk('abc'))
    blobs.failNext('write', new RegistryError('storageFull'))
    await assertRejected('storageFull', appendToUpload(registry, key, chunk('lost')))
    assert.equal(await statUpload(registry, key), 3)
    await finishUpload(registry, key, { ...chunk('def'), digest: sha256Of('abcdef') })
    assert.equal(await contentOf(registry, 'team/app', 'abcdef'), 'abcdef')
  })

  test('what is refused or broken by the disk takes no room', async (t) => {
    const { registry, blobs, layout } = await openFloor(t)
    const key = await begin(registry, 'team/app')
    await appendToUpload(registry, key, chunk('abc'))
    const roomTaken = (): number => statSync(join(layout.uploads, key.id)).size
    await assertRejected('uploadSizeMismatch', appendToUpload(registry, key, chunk('x'.repeat(100), { announcedBytes: 200 })))
    assert.equal(roomTaken(), 3)
    // The first write goes well, the second finds the disk full.
    const mebibytes = Array.from({ length: 4 }, () => Buffer.alloc(1024 * 1024))
    let writes = 0
    blobs.before = (call) => {
      if (call === 'write' && ++writes === 2) throw new RegistryError('storageFull')
    }
    await assertRejected(
      'storageFull',
      appendToUpload(registry, key, { ...chunk(''), body: inPieces(mebibytes), announcedBytes: 4 * 1024 * 1024 }),
    )
    assert.equal(writes, 2)
    assert.equal(roomTaken(), 3)
  })

  test('a session is unknown to another repository, another account and under another id', async (t) => {
    const { registry } = await openFloor(t)
    const key = await begin(registry, 'team/app')
    const others: SessionKey[] = [
      { ...key, repository: repositoryName('team/other') },
      { ...key, accountId: 7 },
      { ...key, id: 'id-404' },
      { ...key, id: '../lanyard.db' },
    ]
    for (const other of others) {
      await assertRejected('uploadUnknown', statUpload(registry, other))
      await assertRejected('uploadUnknown', appendToUpload(registry, other, chunk('x')))
      await assertRejected('uploadUnknown', finishUpload(registry, other, ending(sha256Of(''))))
      await assertRejected('uploadUnknown', cancelUpload(registry, other))
    }
    assert.equal(await statUpload(registry, key), 0)
  })
})

suite('finishing an upload', () => {
  test('the blob, its link and its repository are there, the session and its file are not', async (t) => {
    const floor = await openFloor(t, { defaultVisibility: 'internal' })
    await pushBlob(floor.registry, 'team/app', 'content of a blob')
    assert.equal(await contentOf(floor.registry, 'team/app', 'content of a blob'), 'content of a blob')
    const { visibility, created_at_ms } = await getRepository(floor.registry, 'team/app')
    assert.deepEqual([visibility, created_at_ms], ['internal', floor.now()])
    await assertNothingLeft(floor)
  })

  test('the last bytes may come with it', async (t) => {
    const floor = await openFloor(t)
    const key = await begin(floor.registry, 'team/app')
    await appendToUpload(floor.registry, key, chunk('all '))
    await finishUpload(floor.registry, key, { ...chunk('of it', { range: { start: 4, end: 8 } }), digest: sha256Of('all of it') })
    assert.equal(await contentOf(floor.registry, 'team/app', 'all of it'), 'all of it')
    await assertNothingLeft(floor)
  })

  test('no bytes at all are a blob too', async (t) => {
    const floor = await openFloor(t)
    await finishUpload(floor.registry, await begin(floor.registry, 'team/app'), ending(sha256Of('')))
    assert.equal(await contentOf(floor.registry, 'team/app', ''), '')
    await assertNothingLeft(floor)
  })

  test('another digest than that of the bytes is refused, nothing becomes visible and the session is gone', async (t) => {
    const floor = await openFloor(t)
    const key = await begin(floor.registry, 'team/app')
    await appendToUpload(floor.registry, key, chunk('these bytes'))
    const error = await assertRejected('digestMismatch', finishUpload(floor.registry, key, ending(sha256Of('other bytes'))))
    assert.deepEqual(error.details, [{ expected: sha256Of('other bytes'), received: sha256Of('these bytes') }])
    assert.equal(await findRepository(floor.registry, repositoryName('team/app')), undefined)
    await assertNothingLeft(floor)
    await assertRejected('uploadUnknown', statUpload(floor.registry, key))
  })

  test('last bytes out of order are refused, and the session stays open for the right ones', async (t) => {
    const { registry } = await openFloor(t)
    const key = await begin(registry, 'team/app')
    await appendToUpload(registry, key, chunk('abc'))
    await assertRejected(
      'uploadOutOfOrder',
      finishUpload(registry, key, { ...chunk('f', { range: { start: 5, end: 5 } }), digest: sha256Of('abcdef') }),
    )
    await finishUpload(registry, key, { ...chunk('def', { range: { start: 3, end: 5 } }), digest: sha256Of('abcdef') })
  })

  test('a repetition whose first answer was lost succeeds, any number of times', async (t) => {
    const { registry } = await openFloor(t)
    const key = await begin(registry, 'team/app')
    await appendToUpload(registry, key, chunk('content'))
    for (let count = 0; count < 3; count++) await finishUpload(registry, key, ending(sha256Of('content')))
    await finishUpload(registry, key, { ...chunk('content'), digest: sha256Of('content') })
  })

  test('a repetition succeeds only for the blob that is there and the repository that has it', async (t) => {
    const { registry } = await openFloor(t)
    const key = await begin(registry, 'team/app')
    await appendToUpload(registry, key, chunk('content'))
    await finishUpload(registry, key, ending(sha256Of('content')))
    await assertRejected('uploadUnknown', finishUpload(registry, key, ending(sha256Of('other'))))
    await assertRejected(
      'uploadUnknown',
      finishUpload(registry, { ...key, repository: repositoryName('team/other') }, ending(sha256Of('content'))),
    )
    await assertRejected('uploadUnknown', appendToUpload(registry, key, chunk('more')))
    await assertRejected('uploadUnknown', cancelUpload(registry, key))
  })

  test('of many that finish the same session at once, none fails and none publishes twice', async (t) => {
    const floor = await openFloor(t)
    const key = await begin(floor.registry, 'team/app')
    await appendToUpload(floor.registry, key, chunk('content'))
    const results = await Promise.allSettled(
      Array.from({ length: 6 }, () => finishUpload(floor.registry, key, ending(sha256Of('content')))),
    )
    const refused = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as RegistryError] : []))
    assert.ok(refused.length < results.length)
    for (const error of refused) assert.equal(error.reason, 'uploadBusy')
    await finishUpload(floor.registry, key, ending(sha256Of('content')))
    await assertNothingLeft(floor)
  })

  test('a commit that fails drops the session: a sync that failed is never tried again on the same bytes', async (t) => {
    const floor = await openFloor(t)
    const key = await begin(floor.registry, 'team/app')
    await appendToUpload(floor.registry, key, chunk('content'))
    floor.blobs.failNext('commit', new RegistryError('storageFailed'))
    await assertRejected('storageFailed', finishUpload(floor.registry, key, ending(sha256Of('content'))))
    await assertNothingLeft(floor)
    await assertRejected('uploadUnknown', finishUpload(floor.registry, key, ending(sha256Of('content'))))
    await pushBlob(floor.registry, 'team/app', 'content')
  })

  test('rows that cannot be written publish nothing, and pushing again heals', async (t) => {
    const floor = await openFloor(t)
    const { registry } = floor
    const failing = createRegistry({
      ...registry,
      database: withWrites(floor.database, { write: () => Promise.reject(new RegistryError('storageFull')) }),
    })
    const key = await begin(failing, 'team/app')
    await appendToUpload(failing, key, chunk('content'))
    await assertRejected('storageFull', finishUpload(failing, key, ending(sha256Of('content'))))
    assert.equal(await findRepository(registry, repositoryName('team/app')), undefined)
    await assertRejected('uploadUnknown', finishUpload(registry, key, ending(sha256Of('content'))))
    await assertNothingLeft(floor)
    await pushBlob(registry, 'team/app', 'content')
    assert.equal(await contentOf(registry, 'team/app', 'content'), 'content')
  })

  test('the file is durable before the rows say that it is there', async (t) => {
    const floor = await openFloor(t)
    const order: string[] = []
    floor.blobs.before = (call) => void (call === 'commit' && order.push('file'))
    const write = async <T>(work: Parameters<typeof floor.database.write<T>>[0]): Promise<T> => {
      order.push('rows')
      return floor.database.write(work)
    }
    await pushBlob(createRegistry({ ...floor.registry, database: withWrites(floor.database, { write }) }), 'team/app', 'content')
    assert.deepEqual(order, ['file', 'rows'])
  })
})

suite('ending an upload otherwise', () => {
  test('a cancelled upload is gone with its bytes', async (t) => {
    const floor = await openFloor(t)
    const key = await begin(floor.registry, 'team/app')
    await appendToUpload(floor.registry, key, chunk('bytes'))
    await cancelUpload(floor.registry, key)
    await assertNothingLeft(floor)
    await assertRejected('uploadUnknown', cancelUpload(floor.registry, key))
  })

  test('a whole blob in one request leaves no session', async (t) => {
    const floor = await openFloor(t)
    await pushWholeBlob(
      floor.registry,
      { repository: repositoryName('team/app'), accountId: null },
      { ...chunk('whole'), digest: sha256Of('whole') },
    )
    assert.equal(await contentOf(floor.registry, 'team/app', 'whole'), 'whole')
    await assertNothingLeft(floor)
  })

  const failures: readonly (readonly [
    what: string,
    blob: () => Chunk,
    reason: 'digestMismatch' | 'uploadInterrupted' | 'uploadSizeMismatch',
  ])[] = [
    ['whose digest is wrong', () => chunk('not whole'), 'digestMismatch'],
    ['that breaks off', () => ({ ...chunk('whole'), body: inPieces(['who'], new Error('gone')) }), 'uploadInterrupted'],
    ['that is shorter than announced', () => chunk('whole', { announcedBytes: 9 }), 'uploadSizeMismatch'],
  ]
  for (const [what, blob, reason] of failures) {
    test(`a whole blob ${what} leaves no session either`, async (t) => {
      const floor = await openFloor(t)
      const start = { repository: repositoryName('team/app'), accountId: null }
      await assertRejected(reason, pushWholeBlob(floor.registry, start, { ...blob(), digest: sha256Of('whole') }))
      await assertNothingLeft(floor)
    })
  }

  test('a request that writes is known to be under way until it is over, however it ends', async (t) => {
    const { registry } = await openFloor(t)
    const key = await begin(registry, 'team/app')
    const gate = Promise.withResolvers<void>()
    async function* slow(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('a')
      await gate.promise
      throw new Error('gone')
    }
    const appending = failureOf(appendToUpload(registry, key, { body: slow(), announcedBytes: 5, range: undefined }))
    assert.equal(registry.writing.count, 1)
    const idle = registry.writing.whenIdle().then(() => registry.writing.count)
    gate.resolve()
    await appending
    assert.equal(await idle, 0)
  })
})
