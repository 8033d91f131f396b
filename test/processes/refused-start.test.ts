/** Starts that cannot be: each ends at once with status 1 and one sentence that says what to do, never with a stack. */
import assert from 'node:assert/strict'
import { chmodSync, chownSync, copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import Sqlite from 'better-sqlite3'
import { makeCertificate, writeCertificate } from '../support/certificate.ts'
import { program, runLanyard, startServer, type RunOptions } from '../support/spawn-lanyard.ts'
import { temporaryFolder, type Cleanup } from '../support/temporary-folder.ts'

/** Some user without rights, when the tests run as root, whom no permission stops. */
const nobody = 65_534
const isRoot = process.getuid?.() === 0

/** @returns the one sentence. */
async function refusedStart(options: RunOptions): Promise<string> {
  const { status, stdout, stderr } = await runLanyard(['serve'], options)
  assert.deepEqual([status, stdout], [1, ''])
  const [sentence = '', rest] = stderr.split('\n')
  assert.equal(rest, '', `one line: ${stderr}`)
  assert.doesNotMatch(stderr, / {4}at /)
  return sentence
}

test('a data path that is a file, or leads through one', async (t) => {
  const file = join(temporaryFolder(t), 'file')
  writeFileSync(file, '')
  const [itself, through] = await Promise.all([file, `${file}/below`].map((DATA) => refusedStart({ settings: { DATA } })))
  assert.equal(itself, `lanyard: the data folder ${file} cannot be used: a file stands where the folder should be`)
  assert.equal(through, `lanyard: the data folder ${file}/below cannot be used: a part of the path is a file`)
})

test('a data folder that this user may not write', async (t) => {
  const data = temporaryFolder(t)
  chmodSync(data, 0o555)
  const sentence = await refusedStart({ settings: { DATA: data }, ...(isRoot ? { uid: nobody } : {}) })
  const advice = 'this user may not write there: change its owner or its permissions'
  assert.equal(sentence, `lanyard: the data folder ${data} cannot be used: ${advice}`)
})

test('a certificate that is missing, or does not fit its key', async (t) => {
  const [one, two] = [await makeCertificate(), await makeCertificate()]
  const folder = temporaryFolder(t)
  const files = writeCertificate(folder, { cert: one.cert, key: two.key })
  const settings = { DATA: join(folder, 'data'), ADMIN_PASSWORD: 'known to the operator' }
  const [missing, unfit] = await Promise.all([
    refusedStart({ settings: { ...settings, DATA: join(folder, 'one'), ...files, TLS_KEY: join(folder, 'no.key') } }),
    refusedStart({ settings: { ...settings, DATA: join(folder, 'two'), ...files } }),
  ])
  assert.equal(missing, `lanyard: tls.key ${folder}/no.key cannot be read (ENOENT)`)
  assert.ok(
    unfit.startsWith(`lanyard: tls.certificate ${files.TLS_CERTIFICATE} and tls.key ${files.TLS_KEY} cannot be used together: `),
    unfit,
  )
})

test('a database that is none, belongs to another program, or was written by a newer version', async (t) => {
  const folderWith = (sql: string): string => {
    const data = temporaryFolder(t)
    const sqlite = new Sqlite(join(data, 'lanyard.db'))
    sqlite.exec(sql)
    sqlite.close()
    return data
  }
  const damaged = temporaryFolder(t)
  writeFileSync(join(damaged, 'lanyard.db'), 'no database at all')
  const foreign = folderWith('create table song (title text)')
  const newer = folderWith(
    'create table repository (id integer); create table migration (version integer primary key); insert into migration values (999)',
  )
  const sentences = await Promise.all([damaged, foreign, newer].map((DATA) => refusedStart({ settings: { DATA } })))
  assert.deepEqual(sentences, [
    `lanyard: ${damaged}/lanyard.db is damaged or no database: bring it back with "lanyard rebuild" or from a backup, or point the data setting to another folder. Nothing was changed.`,
    `lanyard: ${foreign}/lanyard.db is not a Lanyard database: point the data setting to another folder. Nothing was changed.`,
    `lanyard: the data folder ${newer} was written by a newer version of Lanyard (schema 999; this version knows ${readdirSync('migrations/sqlite').filter((file) => /^\d{4}-/.test(file)).length}): install that version again, or restore a snapshot from ${newer}/snapshots. Nothing was changed.`,
  ])
})

function everythingBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true }).map((path) => join(folder, String(path)))
}

async function folderWithKeys(t: Cleanup): Promise<{ data: string; key: string }> {
  const server = await startServer(t)
  assert.equal(await server.stop(), 0)
  const keys = join(server.data, 'keys')
  return { data: server.data, key: join(keys, readdirSync(keys)[0] ?? '') }
}

test('a signing key that is damaged or belongs to somebody else', async (t) => {
  const { data, key } = await folderWithKeys(t)
  writeFileSync(key, 'no key')
  assert.equal(
    await refusedStart({ settings: { DATA: data } }),
    `lanyard: the signing key ${key} is damaged: delete it (what it signed must log in again) or restore it`,
  )
  chmodSync(key, 0)
  if (isRoot) for (const path of [data, ...everythingBelow(data)]) chownSync(path, path === key ? 0 : nobody, nobody)
  assert.equal(
    await refusedStart({ settings: { DATA: data }, ...(isRoot ? { uid: nobody } : {}) }),
    `lanyard: the signing key ${key} cannot be read (EACCES): it belongs to the user that the registry runs as`,
  )
})

test('a folder within the data folder that this user may not write', async (t) => {
  const { data } = await folderWithKeys(t)
  rmSync(join(data, 'blobs'), { recursive: true })
  mkdirSync(join(data, 'blobs'), { mode: 0o555 })
  if (isRoot) for (const path of [data, ...everythingBelow(data)]) chownSync(path, nobody, nobody)
  const sentence = await refusedStart({ settings: { DATA: data }, ...(isRoot ? { uid: nobody } : {}) })
  assert.match(sentence, /^lanyard: the data folder cannot be used: EACCES: permission denied, mkdir '\S+\/blobs\/sha256\S*'$/)
})

test('settings that are wrong are told all at once', async () => {
  const { status, stdout, stderr } = await runLanyard(['serve', '--workers', 'many'], { settings: { LISTEN: 'nowhere', LISEN: ':1' } })
  assert.deepEqual([status, stdout], [1, ''])
  const lines = stderr.trimEnd().split('\n')
  assert.equal(lines[0], 'lanyard: the settings have 3 problems:')
  assert.deepEqual(
    lines.slice(1).map((line) => line.split(':')[0]),
    ['  LANYARD_LISEN (environment LANYARD_LISEN)', '  listen (environment LANYARD_LISTEN)', '  workers (flag --workers)'],
  )
})

test('an older Node is refused in one sentence before anything else is loaded', async (t) => {
  const folder = temporaryFolder(t)
  mkdirSync(join(folder, 'cli'))
  // Alone in its folder: had it gone on, it would have failed to find the rest.
  const alone = join(folder, 'cli/lanyard.js')
  copyFileSync(program, alone)
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}')
  const pretend = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.19.5' } });
Object.defineProperty(process, 'version', { value: 'v20.19.5' })`
  const nodeOptions = ['--import', `data:text/javascript,${encodeURIComponent(pretend)}`]
  const sentence = await refusedStart({ program: alone, nodeOptions })
  assert.equal(
    sentence,
    `Lanyard needs Node.js 24 or newer; this is v20.19.5 (${process.execPath}). In a clone, "npm ci" brings the right one: use "npm start" or "npm run lanyard -- ...".`,
  )
  const goesOn = await runLanyard(['serve'], { program: alone })
  assert.match(goesOn.stderr, /ERR_MODULE_NOT_FOUND/, 'with this Node it does go on')
})
