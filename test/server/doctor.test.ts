/** The doctor finds each fault that it names, says what to do about it, and leaves nothing behind. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { after, suite, test, type TestContext } from 'node:test'
import Sqlite from 'better-sqlite3'
import { generate } from 'selfsigned'
import { snapshotIfDue } from '../../storage/recovery/snapshot-database.ts'
import type { Settings } from '../../server/config/settings.ts'
import { examine } from '../../server/doctor/examine.ts'
import type { Finding } from '../../server/doctor/finding.ts'
import { checkCertificate } from '../../server/doctor/network-checks.ts'
import { judgeRoom, judgeSync } from '../../server/doctor/storage-checks.ts'
import { dataLayout, type DataLayout } from '../../storage/layout.ts'
import { makeCertificate, writeCertificate } from '../support/certificate.ts'
import { runLanyard, startServer } from '../support/spawn-lanyard.ts'
import { startRegistry } from '../support/start-registry.ts'
import { temporaryFolder, type Cleanup } from '../support/temporary-folder.ts'

const dayMs = 24 * 3_600_000

interface Patient {
  readonly layout: DataLayout
  readonly settings: Settings
}

/** A data folder that nothing is wrong with, without a server: made once, because making it costs more than most tests, and copied. */
const sound = (() => {
  const cleanups: (() => unknown)[] = []
  let made: Promise<Patient> | undefined
  after(() => {
    for (const cleanup of cleanups.toReversed()) cleanup()
  })
  return () => (made ??= makePatient({ after: (cleanup) => void cleanups.push(cleanup as () => unknown) }))
})()

async function makePatient(t: Cleanup): Promise<Patient> {
  const data = join(temporaryFolder(t), 'data')
  const { settings, services, close } = await startRegistry({ after: () => undefined }, { data })
  const layout = dataLayout(data)
  await snapshotIfDue({ database: services.registry.database, layout }, { nowMs: Date.now(), everyMs: 1, keep: 1 })
  await close()
  // As the program's own umask has it.
  for (const path of [layout.database, layout.hold, layout.lock]) if (existsSync(path)) chmodSync(path, 0o600)
  return { layout, settings }
}

async function patient(t: TestContext): Promise<Patient> {
  const { layout, settings } = await sound()
  const data = join(temporaryFolder(t), 'data')
  cpSync(layout.root, data, { recursive: true, preserveTimestamps: true })
  // One that others may enter.
  chmodSync(data, 0o755)
  return { layout: dataLayout(data), settings: { ...settings, data } }
}

const wrong = (findings: readonly Finding[]) => findings.filter(({ state }) => state !== 'ok')

function withSetting(settings: Settings, section: 'storage' | 'snapshots' | 'tls', values: object): Settings {
  return { ...settings, [section]: { ...settings[section], ...values } }
}

interface Illness {
  readonly harm: (of: Patient) => void | Partial<Settings>
  readonly found: { readonly check: string; readonly state?: 'warning'; readonly message: RegExp }
  /** How far the clock is from the right time. */
  readonly clockMs?: number
}

function sql({ layout }: Patient, text: string): void {
  const sqlite = new Sqlite(layout.database)
  sqlite.exec(text)
  sqlite.close()
}

const illnesses: Readonly<Record<string, Illness>> = {
  'a folder that is not there': {
    harm: ({ layout }) => rmSync(layout.root, { recursive: true }),
    found: { check: 'folder', message: /there is no folder/ },
  },
  'a file in place of the folder': {
    harm: ({ layout }) => {
      rmSync(layout.root, { recursive: true })
      writeFileSync(layout.root, '')
    },
    found: { check: 'folder', message: /is a file/ },
  },
  'a missing folder of blobs': {
    harm: ({ layout }) => rmSync(join(layout.blobs, 'sha256', 'ab'), { recursive: true }),
    found: { check: 'folder', message: /1 folders are missing, such as .*sha256\/ab/ },
  },
  'uploads on another file system': {
    harm: ({ layout }) => {
      rmSync(layout.uploads, { recursive: true })
      symlinkSync('/dev/shm', layout.uploads)
    },
    found: { check: 'folder', message: /another file system/ },
  },
  'a database that others may read': {
    harm: ({ layout }) => chmodSync(layout.database, 0o644),
    found: { check: 'secrets', message: /others may read .*lanyard.db \(its permissions are 644\)/ },
  },
  'a key that others may read': {
    harm: ({ layout }) => chmodSync(join(layout.keys, readdirSync(layout.keys)[0] ?? ''), 0o640),
    found: { check: 'secrets', message: /others may read .*keys/ },
  },
  'a disk with less room than the reserve': {
    harm: ({ settings }) => withSetting(settings, 'storage', { reserveBytes: 1024 ** 5 }),
    found: { check: 'disk', message: /less than the reserve/ },
  },
  'a push that does not work': {
    harm: ({ settings }) => withSetting(settings, 'storage', { reserveBytes: 1024 ** 5 }),
    found: { check: 'push', message: /a push does not work: .*(storage|space|full|disk)/i },
  },
  'a disk that does not keep what it is given': {
    harm: ({ layout }) => void mkdirSync(join(layout.uploads, '.probed', 'in the way'), { recursive: true }),
    found: { check: 'sync', message: /does not keep what it is given/ },
  },
  'accounting that says something else than what is there': {
    harm: (of) => sql(of, 'update namespace_usage set blobs = blobs + 1'),
    found: { check: 'accounting', state: 'warning', message: /what 1 repositories and namespaces take is not what is written down/ },
  },
  'a clock that is behind the files': {
    harm: () => undefined,
    clockMs: -dayMs,
    found: { check: 'clock', message: /a (?:file|row) comes from/ },
  },
  'a clock that is behind the rows': {
    harm: (of) => sql(of, `update collection set seen_ms = ${Date.now() + dayMs}`),
    found: { check: 'clock', message: /a row comes from/ },
  },
  'a file from the future': {
    harm: ({ layout }) => utimesSync(layout.database, new Date(), new Date(Date.now() + dayMs)),
    found: { check: 'clock', message: /a file comes from/ },
  },
  'a clock that knows no time': {
    harm: () => undefined,
    clockMs: -20 * 365 * dayMs,
    found: { check: 'clock', message: /the clock says 20[01]/ },
  },
  'a database that is not there': {
    harm: ({ layout }) => rmSync(layout.database),
    found: { check: 'database', message: /there is no database/ },
  },
  'a damaged database': {
    harm: ({ layout }) => writeFileSync(layout.database, readFileSync(layout.database).fill(0x5a, 4096)),
    found: { check: 'database', message: /the database is damaged/ },
  },
  'a row that refers to nothing': {
    harm: (of) => sql(of, "pragma foreign_keys = off; insert into blob_link values (99, 'x', 1, 0)"),
    found: { check: 'database', message: /a row of blob_link refers to nothing/ },
  },
  'a database of a newer version': {
    harm: (of) => sql(of, "insert into migration (version, name, applied_at_ms) values (999, 'later', 1)"),
    found: { check: 'database', message: /written by a newer version \(schema 999/ },
  },
  'a database of an older version': {
    harm: (of) => sql(of, 'delete from migration where version > 2'),
    found: { check: 'database', state: 'warning', message: /has schema 2/ },
  },
  'a damaged blob': {
    harm: (of) =>
      sql(
        of,
        `insert into blob (digest, size_bytes, stored_at_ms, leased_at_ms) values ('sha256:${'a'.repeat(64)}', 9, 1, 1);
        insert into quarantine (digest, found_at_ms, fault, size_bytes) select digest, 1, 'content', size_bytes from blob`,
      ),
    found: { check: 'content', message: /1 blobs and 0 manifests are damaged/ },
  },
  'no snapshot': {
    harm: ({ layout }) => rmSync(layout.snapshots, { recursive: true }),
    found: { check: 'snapshots', state: 'warning', message: /there is no snapshot/ },
  },
  'an old snapshot': {
    harm: ({ layout }) => {
      const [name = ''] = readdirSync(layout.snapshots)
      renameSync(join(layout.snapshots, name), join(layout.snapshots, 'scheduled-4-0-2026-01-01T00-00-00-000Z.db'))
    },
    found: { check: 'snapshots', state: 'warning', message: /hours old/ },
  },
  'snapshots that are switched off': {
    harm: ({ settings }) => withSetting(settings, 'snapshots', { everyHours: 0 }),
    found: { check: 'snapshots', state: 'warning', message: /no snapshots .* are taken/ },
  },
  'no key': {
    harm: ({ layout }) => rmSync(join(layout.keys, readdirSync(layout.keys)[0] ?? '')),
    found: { check: 'keys', state: 'warning', message: /no key that signs/ },
  },
  'a damaged key': {
    harm: ({ layout }) => writeFileSync(join(layout.keys, readdirSync(layout.keys)[0] ?? ''), 'no key'),
    found: { check: 'keys', message: /is damaged/ },
  },
  'a certificate that is not there': {
    harm: ({ settings }) => withSetting(settings, 'tls', { certificate: '/nowhere.crt', key: '/nowhere.key' }),
    found: { check: 'certificate', message: /cannot be read/ },
  },
  'a certificate without a key': {
    harm: ({ settings }) => withSetting(settings, 'tls', { certificate: '/nowhere.crt' }),
    found: { check: 'certificate', message: /only one of/ },
  },
  'a server that was killed': {
    harm: ({ layout }) => writeFileSync(layout.holder, holder({ pid: 2 ** 22 + 1, listen: '127.0.0.1:1' })),
    found: { check: 'server', state: 'warning', message: /that is not there: it was killed/ },
  },
  'a server that does not answer': {
    harm: ({ layout }) => writeFileSync(layout.holder, holder({ pid: process.pid, listen: '127.0.0.1:1' })),
    found: { check: 'server', message: /were not answered as they should be: .*ECONNREFUSED/ },
  },
}

function holder(of: { pid: number; listen: string }): string {
  return JSON.stringify({ ...of, host: hostname(), since: new Date().toISOString() })
}

suite('the doctor', () => {
  test('finds nothing where nothing is wrong, asks about everything, and leaves nothing behind', async (t) => {
    const { layout, settings } = await patient(t)
    const before = contentOf(layout)
    const findings = await examine(settings, Date.now)
    assert.deepEqual(wrong(findings), [])
    assert.deepEqual(
      findings.map(({ check }) => check),
      [
        'folder',
        'permissions',
        'secrets',
        'disk',
        'sync',
        'clock',
        'database',
        'content',
        'accounting',
        'snapshots',
        'keys',
        'certificate',
        'server',
        'push',
      ],
    )
    assert.deepEqual(contentOf(layout), before)
  })

  for (const [name, { harm, found, clockMs = 0 }] of Object.entries(illnesses))
    test(`finds ${name}`, async (t) => {
      const of = await patient(t)
      const settings = harm(of) ?? of.settings
      const findings = await examine(settings as Settings, () => Date.now() + clockMs)
      const fitting = findings.filter(({ check, message }) => check === found.check && found.message.test(message))
      assert.deepEqual(
        fitting.map(({ state }) => state),
        [found.state ?? 'fault'],
        JSON.stringify(findings, undefined, 1),
      )
      for (const { advice = '' } of wrong(findings)) assert.ok(advice.length >= 10, 'it says what to do')
    })

  test('does not mind who may read files in a folder that nobody else may enter', async (t) => {
    const { layout, settings } = await patient(t)
    chmodSync(layout.database, 0o644)
    chmodSync(layout.root, 0o700)
    assert.deepEqual(wrong(await examine(settings, Date.now)), [])
  })

  test('judges room, files and the time of a sync', () => {
    const room = { freeBytes: 50, totalBytes: 100, freeFiles: 5000 }
    assert.equal(judgeRoom(room, 10).state, 'ok')
    assert.equal(judgeRoom({ ...room, freeFiles: undefined }, 10).state, 'ok')
    assert.equal(judgeRoom({ ...room, freeBytes: 4 }, 0).state, 'warning')
    assert.equal(judgeRoom({ ...room, freeBytes: 4 }, 5).state, 'fault')
    assert.match(judgeRoom({ ...room, freeFiles: 999 }, 10).message, /only 999 more files/)
    assert.deepEqual([judgeSync(999).state, judgeSync(1000).state], ['ok', 'warning'])
  })

  test('judges the life of a certificate, and whether the key is its own', async (t) => {
    const folder = temporaryFolder(t)
    const made = await makeCertificate()
    const files = writeCertificate(folder, made)
    const tls = { certificate: files.TLS_CERTIFICATE, key: files.TLS_KEY }
    const untilMs = Date.parse(new (await import('node:crypto')).X509Certificate(made.cert).validTo)
    const at = (nowMs: number) => checkCertificate({ tls }, nowMs)[0]
    assert.equal(at(untilMs - 15 * dayMs)?.state, 'ok')
    assert.match(at(untilMs - 13 * dayMs)?.message ?? '', /expires on/)
    assert.match(at(untilMs + 1000)?.message ?? '', /has expired on/)
    assert.match(at(Date.now() - 400 * dayMs)?.message ?? '', /valid only from/)
    const other = await generate([{ name: 'commonName', value: 'other' }], { keyType: 'ec', algorithm: 'sha256' })
    writeFileSync(tls.key, other.private)
    assert.match(at(Date.now())?.message ?? '', /is not the key of/)
  })
})

/** Files and numbers of rows; what only a reader changes is left out. */
function contentOf(layout: DataLayout): unknown {
  const files = readdirSync(layout.root, { recursive: true, withFileTypes: true }).filter((each) => each.isFile())
  const names = files.map(({ parentPath, name }) => join(parentPath, name)).filter((path) => !/lanyard\.db-|hold\.db|journal/.test(path))
  const sqlite = new Sqlite(layout.database, { readonly: true })
  try {
    const tables = sqlite
      .prepare<[], string>("select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'")
      .pluck()
      .all()
    const counts = tables
      .filter((table) => !table.endsWith('_review'))
      .map((table) => [table, sqlite.prepare<[], number>(`select count(*) from "${table}"`).pluck().get()])
    return { names: names.toSorted(), counts }
  } finally {
    sqlite.close()
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  return port
}

suite('lanyard doctor', () => {
  test('beside a server says that all is well, with status 0; as JSON too', async (t) => {
    const more = { WORKERS: '2', STORAGE_RESERVE_BYTES: '0', LISTEN: `127.0.0.1:${await freePort()}` }
    const server = await startServer(t, { settings: more })
    const settings = { DATA: server.data, ...more }
    const asText = await runLanyard(['doctor'], { settings })
    assert.deepEqual([asText.status, asText.stderr], [0, ''], asText.stdout)
    assert.match(asText.stdout, /^ok {7}server {7}2 of 2 requests to .* were answered: ready$/m)
    const { status, stdout } = await runLanyard(['doctor', '--json'], { settings })
    assert.equal(status, 0)
    const findings = JSON.parse(stdout) as Finding[]
    assert.ok(findings.length >= 11)
  })

  test('with --recount writes down anew what everything takes', async (t) => {
    const it = await patient(t)
    sql(it, 'update namespace_usage set blobs = blobs + 1')
    const { stdout } = await runLanyard(['doctor', '--recount'], { settings: { DATA: it.layout.root, STORAGE_RESERVE_BYTES: '0' } })
    assert.match(stdout, /^ok {7}accounting /m)
  })

  test('with a fault ends with status 1, and says what to do on the next line', async (t) => {
    const { layout } = await patient(t)
    chmodSync(layout.database, 0o666)
    const { status, stdout } = await runLanyard(['doctor'], { settings: { DATA: layout.root, STORAGE_RESERVE_BYTES: '0' } })
    assert.equal(status, 1)
    assert.match(stdout, /^FAULT {4}secrets {6}others may read .*\n {22}chmod 600 .*lanyard\.db$/m)
  })

  const isRoot = process.getuid?.() === 0
  test('as a user who may not read the folder says so', { skip: isRoot ? false : 'needs root to become somebody else' }, async (t) => {
    const { layout } = await patient(t)
    for (let path = layout.root; statSync(path).uid === 0 && path.includes('lanyard-test'); path = join(path, '..')) chmodSync(path, 0o755)
    chmodSync(layout.keys, 0o700)
    const { status, stdout } = await runLanyard(['doctor'], { settings: { DATA: layout.root, STORAGE_RESERVE_BYTES: '0' }, uid: 65534 })
    assert.equal(status, 1)
    assert.match(stdout, /FAULT {4}permissions {2}this user may not read and write .*\(EACCES\)/)
  })
})
