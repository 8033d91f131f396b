/**
 * The process that durability.test.ts watches: stores blobs and rows while calls of the disk are traced and made to fail.
 * Argument: an empty folder. Prints one JSON object: scenario → what happened.
 */
import { readFileSync } from 'node:fs'
import { DiskTrace, type Fault } from '../support/disk-trace.ts'

const root = process.argv[2] ?? ''
const trace = new DiskTrace(root)
const { digestOf } = await import('../../oci/digest.ts')
const { RegistryError } = await import('../../oci/errors.ts')
const { DiskBlobStore } = await import('../../storage/blobs/disk-blob-store.ts')
const { blobPath, dataLayout } = await import('../../storage/layout.ts')
const { migrate } = await import('../../storage/metadata/migrate.ts')
const { Database } = await import('../../storage/metadata/database.ts')
const { putBlob, totalBlobs } = await import('../../storage/metadata/blobs.ts')

const layout = dataLayout(root)
await migrate(layout, Date.now())
let blobs = new DiskBlobStore(layout)
const found: Record<string, unknown> = {}

/** What the work ended with: its value, or the reason and cause of its fault. */
async function outcomeOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    (value) => value ?? 'done',
    (error: unknown) =>
      error instanceof RegistryError
        ? `${error.reason} (${(error.cause as { code?: string } | undefined)?.code ?? String(error.cause)})`
        : String(error),
  )
}

async function uploadOf(content: string) {
  const partial = await blobs.openPartial('upload')
  await partial.write([Buffer.from(content)], 0)
  return partial
}

// Preparing syncs the folders that hold new names, also when an earlier start made them.
await DiskBlobStore.prepare(layout)
trace.take()
await DiskBlobStore.prepare(layout)
found['prepareAgain'] = trace.take('open', 'openSync')

// The order in which a blob becomes true.
{
  const partial = await uploadOf('content')
  const digest = digestOf('sha256', Buffer.from('content'))
  trace.take()
  await partial.commit(digest, 7)
  trace.note('acknowledged')
  found['commit'] = trace.take('open', 'openSync')
  await partial.close()
}

// Bytes that are not counted are cut off before the sync, not after it.
{
  const partial = await uploadOf('longer than counted')
  trace.take()
  await partial.commit(digestOf('sha256', Buffer.from('longer')), 6)
  found['truncate'] = trace.take('open', 'openSync')
  await partial.close()
}

// Each step of a commit that fails ends it.
const faults: Record<string, Fault> = {
  'the file cannot be synced': { call: 'fsync', path: 'uploads/', outcome: 'EIO' },
  'the disk is full at the sync': { call: 'fsync', path: 'uploads/', outcome: 'ENOSPC' },
  'the quota ends at the sync': { call: 'fsync', path: 'uploads/', outcome: 'EDQUOT' },
  'the file cannot be renamed': { call: 'rename', path: 'uploads/', outcome: 'EROFS' },
  'the folder cannot be synced': { call: 'fsync', path: 'blobs/', outcome: 'EIO' },
  'the folder cannot be opened': { call: 'openSync', path: 'blobs/', outcome: 'EMFILE' },
}
const failures: Record<string, unknown> = {}
for (const [name, fault] of Object.entries(faults)) {
  const digest = digestOf('sha256', Buffer.from(name))
  const partial = await uploadOf(name)
  trace.take()
  trace.fail(fault)
  const outcome = await outcomeOf(partial.commit(digest, name.length))
  trace.fail()
  failures[name] = { outcome, events: trace.take('open', 'openSync') }
  await partial.close()
  await blobs.removePartial('upload')
  // One that has met a failing sync writes no more until the disk has passed a probe.
  blobs = new DiskBlobStore(layout)
}
found['commitFaults'] = failures

// Faults of single calls, by what was asked for.
const calls: Record<string, { fault: Fault; work: () => Promise<unknown> }> = {}
for (const code of ['ENOSPC', 'EDQUOT', 'EROFS', 'EACCES', 'EIO']) {
  calls[`write ${code}`] = { fault: { call: 'writev', path: 'uploads/', outcome: code }, work: () => uploadOf('x') }
  calls[`open upload ${code}`] = { fault: { call: 'open', path: 'uploads/', outcome: code }, work: () => uploadOf('x') }
  calls[`probe ${code}`] = { fault: { call: 'writev', path: '.probe', outcome: code }, work: () => blobs.probe() }
  calls[`probe's file ${code}`] = { fault: { call: 'open', path: '.probe', outcome: code }, work: () => blobs.probe() }
}
const stored = digestOf('sha256', Buffer.from('content'))
const reading = async () => (await blobs.openBlob(stored, 7)).read(Buffer.alloc(7), 0)
calls['open blob EMFILE'] = { fault: { call: 'openSync', path: 'blobs/', outcome: 'EMFILE' }, work: reading }
calls['open blob EACCES'] = { fault: { call: 'openSync', path: 'blobs/', outcome: 'EACCES' }, work: reading }
calls['read blob EIO'] = { fault: { call: 'read', path: 'blobs/', outcome: 'EIO' }, work: reading }
calls['read upload EIO'] = {
  fault: { call: 'read', path: 'uploads/', outcome: 'EIO' },
  work: async () => (await uploadOf('x')).read(Buffer.alloc(1), 0),
}
const outcomes: Record<string, unknown> = {}
for (const [name, { fault, work }] of Object.entries(calls)) {
  trace.fail(fault)
  outcomes[name] = await outcomeOf(work())
  trace.fail()
}
outcomes['after all that'] = [await outcomeOf(blobs.probe()), await outcomeOf(reading())]
found['callFaults'] = outcomes

// A disk that takes less than it was given.
{
  const partial = await blobs.openPartial('short')
  trace.fail({ call: 'writev', path: 'uploads/', outcome: 3 })
  await partial.write([Buffer.from('ab'), Buffer.from('cdefg'), Buffer.from('h')], 0)
  trace.fail()
  const target = Buffer.alloc(20)
  found['shortWrites'] = target.toString('utf8', 0, await partial.read(target, 0))
  trace.fail({ call: 'writev', path: 'uploads/', outcome: 0 })
  found['noProgress'] = await outcomeOf(partial.write([Buffer.from('more')], 8))
  trace.fail()
  await partial.close()
}

// A large upload is brought to the disk while it arrives; a failure of that is never forgotten.
async function large(fault?: Fault) {
  const partial = await blobs.openPartial('large')
  trace.fail(...(fault ? [fault] : []))
  const mebibyte = Buffer.alloc(1024 * 1024, 'x')
  for (let count = 0; count < 40; count++) await partial.write([mebibyte], count * mebibyte.length)
  return partial
}
{
  const mebibytes = Buffer.alloc(40 * 1024 * 1024, 'x')
  const digest = digestOf('sha256', mebibytes)
  const lost: Fault = { call: 'fdatasync', path: 'uploads/', outcome: 'EIO' }
  const closing = await large(lost)
  trace.fail()
  found['lostFlushAtClose'] = await outcomeOf(closing.close())
  await blobs.removePartial('large')
  const committing = await large(lost)
  trace.fail()
  trace.take()
  found['lostFlushAtCommit'] = { outcome: await outcomeOf(committing.commit(digest, mebibytes.length)), events: trace.take() }
  found['lostFlushAtCommitClose'] = await outcomeOf(committing.close())
  await blobs.removePartial('large')
  blobs = new DiskBlobStore(layout)
  trace.take()
  const healthy = await large()
  await healthy.commit(digest, mebibytes.length)
  found['flushBeforeCommit'] = trace.take('open', 'openSync', 'writev')
  await healthy.close()
  found['large'] = readFileSync(blobPath(layout, digest)).equals(mebibytes)
}

// Rows: on disk before they are acknowledged, or not asked to be.
const database = Database.open(layout.database)
const row = (content: string) => ({ digest: digestOf('sha256', Buffer.from(content)), sizeBytes: 1, nowMs: 1 })
await database.write((tx) => putBlob(tx, row('the first, which opens the log')))
trace.take()
await database.write(async (tx) => {
  await putBlob(tx, row('durable'))
  trace.note('rows written')
})
trace.note('acknowledged')
found['write'] = trace.take()
await database.writeRelaxed((tx) => putBlob(tx, row('relaxed')))
trace.note('acknowledged')
found['writeRelaxed'] = trace.take()
await Promise.all(Array.from({ length: 50 }, (_, index) => database.write((tx) => putBlob(tx, row(`${index}`)))))
found['syncsForFifty'] = trace.take().filter((event) => event.startsWith('+fdatasync')).length
found['rowsBefore'] = (await totalBlobs(database.read)).blobs

trace.fail({ call: 'fdatasync', path: '-wal', outcome: 'EIO' })
found['lostSync'] = await outcomeOf(database.write((tx) => putBlob(tx, row('lost'))))
trace.fail()
trace.take()
found['afterLostSync'] = {
  write: await outcomeOf(database.write((tx) => putBlob(tx, row('again')))),
  writeRelaxed: await outcomeOf(database.writeRelaxed((tx) => putBlob(tx, row('again')))),
  writable: await outcomeOf((async () => database.requireWritable())()),
  read: typeof (await totalBlobs(database.read)).blobs,
  syncs: trace.take(),
}
await database.close()
process.stdout.write(JSON.stringify(found))
