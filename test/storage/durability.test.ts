/**
 * Acknowledged is durable: the order of what the disk is asked for, seen in a process of its own, and what happens when it refuses.
 */
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { digestOf } from '../../oci/digest.ts'
import { runChild } from '../support/child.ts'
import { emptyDataFolder } from '../support/data-folder.ts'

interface Findings {
  readonly prepareAgain: string[]
  readonly commit: string[]
  readonly truncate: string[]
  readonly commitFaults: Record<string, { outcome: string; events: string[] }>
  readonly callFaults: Record<string, string | string[]>
  readonly shortWrites: string
  readonly noProgress: string
  readonly lostFlushAtClose: string
  readonly lostFlushAtCommit: { outcome: string; events: string[] }
  readonly lostFlushAtCommitClose: string
  readonly flushBeforeCommit: string[]
  readonly large: boolean
  readonly write: string[]
  readonly writeRelaxed: string[]
  readonly syncsForFifty: number
  readonly rowsBefore: number
  readonly lostSync: string
  readonly afterLostSync: Record<string, string | string[]>
}

suite('durability', () => {
  let found: Findings
  const ends: (() => unknown)[] = []
  before(async () => {
    const layout = emptyDataFolder({ after: (end) => void ends.push(end as () => unknown) })
    found = (await runChild(new URL('durability-child.ts', import.meta.url), layout.root)) as Findings
  })
  after(() => {
    for (const end of ends) end()
  })

  const whole = (call: string): string[] => [`+${call}`, `-${call}`]
  const blobOf = (content: string): { path: string; folder: string } => {
    const hex = digestOf('sha256', Buffer.from(content)).slice('sha256:'.length)
    return { path: `blobs/sha256/${hex.slice(0, 2)}/${hex}`, folder: `blobs/sha256/${hex.slice(0, 2)}` }
  }

  test('a blob is synced, then renamed, then its folder is synced, and only then acknowledged', () => {
    const { path, folder } = blobOf('content')
    const steps = ['fsync uploads/upload', `rename uploads/upload to ${path}`, `fsync ${folder}`].flatMap(whole)
    assert.deepEqual(found.commit, [...steps, 'acknowledged'])
  })

  test('bytes that are not counted are cut off before the sync', () => {
    assert.deepEqual(found.truncate.slice(0, 4), ['ftruncate uploads/upload', 'fsync uploads/upload'].flatMap(whole))
  })

  test('the folders that hold new names are synced at every start, whoever made them', () => {
    assert.deepEqual(found.prepareAgain, ['fsync blobs/sha256', 'fsync blobs/sha512', 'fsync blobs', 'fsync .'].flatMap(whole))
  })

  const failedSteps = [
    ['the file cannot be synced', 'storageFailed (EIO)', 1],
    ['the disk is full at the sync', 'storageFull (ENOSPC)', 1],
    ['the quota ends at the sync', 'storageFull (EDQUOT)', 1],
    ['the file cannot be renamed', 'storageFailed (EROFS)', 2],
    ['the folder cannot be synced', 'storageFailed (EIO)', 3],
    ['the folder cannot be opened', 'storageFailed (EMFILE)', 2],
  ] as const
  for (const [what, outcome, steps] of failedSteps) {
    test(`when ${what}, the commit fails, nothing further is done and nothing is tried again`, () => {
      const seen = found.commitFaults[what]
      assert.equal(seen?.outcome, outcome)
      const { path, folder } = blobOf(what)
      const all = ['fsync uploads/upload', `rename uploads/upload to ${path}`, `fsync ${folder}`].flatMap(whole)
      assert.deepEqual(seen?.events, all.slice(0, steps * 2))
    })
  }

  for (const call of ['write', 'open upload', 'probe', "probe's file"]) {
    for (const [code, reason] of [
      ['ENOSPC', 'storageFull'],
      ['EDQUOT', 'storageFull'],
      ['EROFS', 'storageFailed'],
      ['EACCES', 'storageFailed'],
      ['EIO', 'storageFailed'],
    ]) {
      test(`${code} of the ${call} is ${reason}`, () => assert.equal(found.callFaults[`${call} ${code}`], `${reason} (${code})`))
    }
  }

  for (const [call, code] of [
    ['open blob', 'EMFILE'],
    ['open blob', 'EACCES'],
    ['read blob', 'EIO'],
    ['read upload', 'EIO'],
  ]) {
    test(`${code} of the ${call} is storageFailed`, () => assert.equal(found.callFaults[`${call} ${code}`], `storageFailed (${code})`))
  }

  test('when the faults are over, everything works again', () => assert.deepEqual(found.callFaults['after all that'], ['done', 7]))

  test('a disk that takes three bytes at a time gets them all, in order', () => assert.equal(found.shortWrites, 'abcdefgh'))

  test('a disk that takes nothing and gives no reason is full', () => assert.match(found.noProgress, /^storageFull/))

  test('a large upload is flushed while it arrives, and the sync still comes before the rename', () => {
    const calls = found.flushBeforeCommit.map((event) => event.split(' ')[0])
    assert.deepEqual(calls, ['+fdatasync', '-fdatasync', '+fsync', '-fsync', '+rename', '-rename', '+fsync', '-fsync'])
    assert.equal(found.large, true)
  })

  test('a flush that failed is met at the commit, which then does not sync again', () => {
    assert.deepEqual(found.lostFlushAtCommit, { outcome: 'storageFailed (EIO)', events: [] })
    assert.equal(found.lostFlushAtCommitClose, 'storageFailed (EIO)')
  })

  test('a flush that failed is met at the close: no later request may take the bytes for durable', () => {
    assert.equal(found.lostFlushAtClose, 'storageFailed (EIO)')
  })

  test('a row is synced after it was written and before it is acknowledged', () => {
    assert.deepEqual(found.write, ['rows written', ...whole('fdatasync lanyard.db-wal'), 'acknowledged'])
  })

  test('a relaxed write asks for no sync', () => assert.deepEqual(found.writeRelaxed, ['acknowledged']))

  test('fifty writes at once share their syncs', () => {
    assert.equal(found.rowsBefore, 53)
    assert.ok(found.syncsForFifty >= 1 && found.syncsForFifty < 50, `${found.syncsForFifty} syncs`)
  })

  test('after a sync of the log that failed nothing is written and nothing synced any more, and reading goes on', () => {
    assert.equal(found.lostSync, 'storageFailed (EIO)')
    assert.deepEqual(found.afterLostSync, {
      write: 'storageFailed (EIO)',
      writeRelaxed: 'storageFailed (EIO)',
      writable: 'storageFailed (EIO)',
      read: 'number',
      syncs: [],
    })
  })
})
