/** The audit log as those use it who record: nothing waits for it, nothing is lost in silence, nothing unprintable gets in. */
import assert from 'node:assert/strict'
import { suite, test, type TestContext } from 'node:test'
import * as fc from 'fast-check'
import { RegistryError } from '../../oci/errors.ts'
import { AuditLog, cleanText, type AuditEvent, type AuditLimits } from '../../registry/audit.ts'
import { Database } from '../../storage/metadata/database.ts'
import { migrate } from '../../storage/metadata/migrate.ts'
import { auditedIn, auditEvent } from '../support/audit-rows.ts'
import { emptyDataFolder } from '../support/data-folder.ts'
import { eventually } from '../support/eventually.ts'

interface Opened {
  readonly log: AuditLog
  readonly database: Database
  /** Writes fail as long as this is set. */
  readonly disk: { fault: Error | undefined; writes: number }
  readonly told: { dropped: number[]; failures: unknown[]; written: string[] }
  readonly targets: () => Promise<string[]>
}

/** A log whose timer never comes by itself unless a test asks for it. */
async function openLog(t: TestContext, limits: Partial<AuditLimits> = {}): Promise<Opened> {
  const layout = emptyDataFolder(t)
  await migrate(layout, 0)
  const database = Database.open(layout.database)
  const disk: Opened['disk'] = { fault: undefined, writes: 0 }
  const watched = new Proxy(database, {
    get(of, name) {
      const value: unknown = Reflect.get(of, name, of)
      if (typeof value !== 'function') return value
      return (...args: unknown[]) => {
        if (name === 'write' || name === 'writeRelaxed') disk.writes++
        if (disk.fault && (name === 'write' || name === 'writeRelaxed')) return Promise.reject(disk.fault)
        return Reflect.apply(value, of, args) as unknown
      }
    },
  })
  const told: Opened['told'] = { dropped: [], failures: [], written: [] }
  const log = new AuditLog({
    database: watched,
    clock: () => 7000,
    limits: { everyMs: 3_600_000, retryMs: 3_600_000, ...limits },
    onDropped: (count) => void told.dropped.push(count),
    onFailed: (error) => void told.failures.push(error),
    onWritten: (events) => void told.written.push(...events.map(({ outcome }) => outcome)),
  })
  t.after(async () => {
    await log.close()
    await database.close()
  })
  return { log, database, disk, told, targets: async () => (await auditedIn(database)).map(({ target }) => target) }
}

const named = (target: string): AuditEvent => auditEvent({ target })
const names = (count: number): string[] => Array.from({ length: count }, (_, at) => `t${at}`)

suite('recording', () => {
  test('writes nothing before its caller goes on, and everything that came in the meantime together', async (t) => {
    const { log, disk, targets } = await openLog(t)
    for (const target of names(50)) log.record(named(target))
    assert.equal(disk.writes, 0)
    await log.flush()
    assert.equal(disk.writes, 1)
    assert.deepEqual(await targets(), names(50))
  })

  test('of what happens often and is the same makes one event that tells how often, until it is written', async (t) => {
    const { log, database } = await openLog(t)
    const pull = (over: Partial<AuditEvent> = {}): AuditEvent => auditEvent({ action: 'pull', target: 'a', detail: { tag: 'v1' }, ...over })
    for (let count = 0; count < 3; count++) log.recordOften(pull({ requestId: `r${count}`, atMs: count }))
    log.recordOften(pull({ detail: { tag: 'v2' } }))
    log.recordOften(pull({ actor: 'bob' }))
    log.recordOften(pull({ address: '192.0.2.9' }))
    log.record(pull())
    await log.flush()
    log.recordOften(pull())
    await log.flush()
    assert.deepEqual(
      (await auditedIn(database)).map(({ detail, actor, requestId }) => [detail, actor, requestId]),
      [
        [{ tag: 'v1', times: 3 }, 'alice', 'r0'],
        [{ tag: 'v2' }, 'alice', null],
        [{ tag: 'v1' }, 'bob', null],
        [{ tag: 'v1' }, 'alice', null],
        [{ tag: 'v1' }, 'alice', null],
        [{ tag: 'v1' }, 'alice', null],
      ],
    )
  })

  test('counts what is dropped as often as it happened', async (t) => {
    const { log, disk, told } = await openLog(t, { maxWaiting: 2 })
    disk.fault = new Error('no room')
    for (let count = 0; count < 5; count++) log.recordOften(auditEvent({ target: 'a' }))
    log.recordOften(auditEvent({ target: 'b' }))
    for (let count = 0; count < 2; count++) log.recordOften(auditEvent({ target: 'c' }))
    await log.close()
    assert.equal(
      told.dropped.reduce((sum, each) => sum + each, 0),
      8,
    )
  })

  test('writes by itself after a while', async (t) => {
    const { log, targets } = await openLog(t, { everyMs: 1 })
    log.record(named('alone'))
    await eventually(async () => (await targets()).length === 1, 'the event')
    log.record(named('again'))
    await eventually(async () => (await targets()).length === 2, 'the next event')
  })

  test('does not wait that long when many have gathered', async (t) => {
    const { log, targets } = await openLog(t, { batch: 10 })
    for (const target of names(25)) log.record(named(target))
    await eventually(async () => (await targets()).length >= 16, 'a full batch')
    for (const target of names(10)) log.record(named(target))
    await eventually(async () => (await targets()).length >= 26, 'the next one')
  })

  test('what comes while a write is under way is in the next', async (t) => {
    const { log, targets } = await openLog(t)
    log.record(named('first'))
    const writing = log.flush()
    log.record(named('second'))
    await writing
    await log.flush()
    assert.deepEqual(await targets(), ['first', 'second'])
  })

  test('a process that ends without a word takes what was not written yet, and nothing else', async (t) => {
    const { log, targets } = await openLog(t)
    for (const target of names(5)) log.record(named(target))
    await log.flush()
    log.record(named('last'))
    assert.deepEqual(await targets(), names(5))
  })

  test('in a transaction it is there exactly if that is', async (t) => {
    const { log, database, targets } = await openLog(t)
    await database.write((tx) => log.recordIn(tx, named('kept')))
    const failing = database.write(async (tx) => {
      await log.recordIn(tx, named('undone'))
      throw new RegistryError('denied')
    })
    await assert.rejects(failing)
    assert.deepEqual(await targets(), ['kept'])
  })

  test('durably it is there when that returns; a disk that does not take it makes it wait', async (t) => {
    const { log, disk, told, targets } = await openLog(t)
    await log.recordDurably(named('now'))
    assert.deepEqual(await targets(), ['now'])
    disk.fault = new RegistryError('storageFull')
    await log.recordDurably(named('later'))
    assert.deepEqual([await targets(), told.failures], [['now'], [disk.fault]])
    disk.fault = undefined
    await log.flush()
    assert.deepEqual(await targets(), ['now', 'later'])
  })

  test('is counted by outcome once it is written', async (t) => {
    const { log, told } = await openLog(t)
    log.record(auditEvent({ outcome: 'denied' }))
    log.record(auditEvent({ outcome: 'failed' }))
    assert.deepEqual(told.written, [])
    await log.flush()
    assert.deepEqual(told.written, ['denied', 'failed'])
  })
})

suite('a write that fails', () => {
  test('is told once, loses nothing and is tried again', async (t) => {
    const { log, disk, told, targets } = await openLog(t, { retryMs: 1 })
    disk.fault = new RegistryError('storageFull')
    for (const target of names(3)) log.record(named(target))
    await log.flush()
    const { writes } = disk
    await eventually(() => disk.writes > writes + 2, 'further tries')
    assert.equal(told.failures.length, 1)
    disk.fault = undefined
    await eventually(async () => (await targets()).length === 3, 'the events')
    assert.deepEqual([await targets(), told.dropped], [names(3), []])
  })

  test('drops what there is no room for: counted, told, and itself an event', async (t) => {
    const { log, database, disk, told } = await openLog(t, { maxWaiting: 5 })
    disk.fault = new RegistryError('storageFailed')
    for (const target of names(12)) log.record(named(target))
    await log.flush()
    assert.deepEqual(told.dropped, [7])
    disk.fault = undefined
    await log.flush()
    const entries = await auditedIn(database)
    assert.deepEqual(
      entries.filter(({ action }) => action === 'push').map(({ target }) => target),
      names(5),
    )
    const overflow = entries.find(({ action }) => action === 'overflow')
    assert.deepEqual(
      { ...overflow, id: 0 },
      {
        id: 0,
        at: '1970-01-01T00:00:07.000Z',
        actor: null,
        via: 'system',
        address: null,
        action: 'overflow',
        target: '',
        detail: { dropped: 7 },
        outcome: 'failed',
        requestId: null,
      },
    )
    await log.flush()
    assert.equal((await auditedIn(database)).length, 6, 'the loss is recorded once')
  })
})

suite('an orderly end', () => {
  test('writes what is waiting', async (t) => {
    const { log, targets } = await openLog(t)
    for (const target of names(1200)) log.record(named(target))
    await log.close()
    assert.equal((await targets()).length, 1200)
  })

  test('tells what it could not write, and what came after it', async (t) => {
    const { log, disk, told } = await openLog(t)
    disk.fault = new RegistryError('storageFull')
    for (const target of names(3)) log.record(named(target))
    await log.close()
    assert.deepEqual(told.dropped, [3])
    log.record(named('late'))
    assert.deepEqual(told.dropped, [3, 1])
    disk.fault = undefined
  })
})

suite('texts in a row', () => {
  test('show every control, every change of direction and every half of a pair as what it is', () => {
    assert.equal(cleanText('a\u0000b\r\nc\u001b[31m', 100), 'a\\u{0}b\\u{d}\\u{a}c\\u{1b}[31m')
    assert.equal(cleanText('\u202egnp.exe\u2066\u200e', 100), '\\u{202e}gnp.exe\\u{2066}\\u{200e}')
    assert.equal(cleanText('\ud800x', 100), '\\u{d800}x')
    assert.equal(cleanText('Zoë 🐳', 100), 'Zoë 🐳')
    assert.equal(cleanText('abcdef', 4), 'abc…')
  })

  test('are printable and bounded, whatever came, and come back from the rows as they went in', async (t) => {
    const { log, database } = await openLog(t)
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: 'binary', maxLength: 700 }),
        fc.string({ unit: 'binary', maxLength: 300 }),
        async (target, name) => {
          await database.writeRelaxed((tx) => tx.deleteFrom('audit_event').execute())
          log.record(auditEvent({ target, actor: name, address: name, detail: { name, names: [name], count: 1, gone: undefined } }))
          await log.flush()
          const [entry] = await auditedIn(database)
          assert.equal(entry?.target, cleanText(target, 512))
          assert.deepEqual(entry.detail, { name: cleanText(name, 512), names: [cleanText(name, 512)], count: 1 })
          assert.doesNotMatch(JSON.stringify(entry), /[\p{C}\p{Zl}\p{Zp}]/u)
        },
      ),
      { numRuns: 30 },
    )
  })
})
