/**
 * Kills what has no clients: the first start on an empty folder, the migration of a folder that holds something, the rotation of keys.
 * Each is killed at a point, run again as a supervisor or an operator's script would, and looked at.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import bcrypt from 'bcrypt'
import Sqlite from 'better-sqlite3'
import { KeyRing, listSigningKeys, pruneSigningKeys } from '../../auth/signing-keys.ts'
import { firstAdministrator } from '../../server/prepare.ts'
import { allBlobFolders, dataLayout, type DataLayout } from '../../storage/layout.ts'
import { readMigrations } from '../../storage/metadata/migrate.ts'
import { writeArm } from './arm.ts'
import { blobsIn, fillCollectable } from './collectable.ts'
import { fsck } from './fsck.ts'
import type { Chore, KillPoint } from './kill-points.ts'
import { keptOf, makeOldDatabase } from './old-databases.ts'
import type { Random } from './random.ts'
import { isRecovery, setRecoveryScene, type RecoveryWork } from './recovery-scenes.ts'
import type { Report, Row } from './report.ts'
import { armedEnvironment, makeControl } from './served-folder.ts'
import { adminPassword } from '../support/start-registry.ts'

const script = fileURLToPath(new URL('chore.ts', import.meta.url))

/** Steps that chore.ts takes behind the shipped ones. */
const laterSteps = 2

export type ChorePoint = KillPoint & { readonly during: 'chore' }

export interface Ended {
  readonly code: number | null
  readonly signal: string | null
  readonly said: string
}

/** Runs chores as processes that can be armed. */
export class ChoreRunner {
  readonly #control: string
  readonly #random: Random
  #arms = 0

  constructor(folder: string, random: Random) {
    this.#control = makeControl(folder)
    this.#random = random
  }

  /** @param point where the process dies; undefined: it comes to its end. */
  async run(work: Chore, data: string, point?: ChorePoint): Promise<Ended> {
    const arm = point && { id: ++this.#arms, moment: point.moment, nth: 1 + this.#random.below(point.times ?? 1), target: 'self' as const }
    writeArm(this.#control, arm)
    const child = spawn(process.execPath, [script, work, data, adminPassword], {
      env: armedEnvironment(this.#control),
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let said = ''
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString('utf8')))
    const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
    return { code, signal, said }
  }
}

export class ChoreBench {
  readonly #folder: string
  readonly #report: Report
  readonly #runner: ChoreRunner
  /** Key files that `rotate` acknowledged. */
  readonly #acknowledged = new Set<string>()
  readonly #random: Random
  /** By schema: a file to copy, and what of it must be kept. */
  readonly #old = new Map<number, { readonly file: string; readonly kept: string }>()

  constructor(folder: string, { random, report }: { random: Random; report: Report }) {
    this.#folder = folder
    this.#report = report
    this.#random = random
    this.#runner = new ChoreRunner(folder, random)
  }

  /** One kill and everything that follows from it. */
  async round(point: ChorePoint): Promise<void> {
    const row = this.#report.row(point.name)
    if (point.work === 'prepare') await this.#firstStart(point, row)
    else if (point.work === 'migrate') await this.#migration(point, row)
    else if (isRecovery(point.work)) await this.#recovery(point, row, point.work)
    else if (point.work === 'collect') await this.#collection(point, row)
    else await this.#rotation(point, row)
  }

  async #firstStart(point: ChorePoint, row: Row): Promise<void> {
    const layout = dataLayout(mkdtempSync(join(this.#folder, 'first-')))
    await this.#killAndRepeat({ point, row, data: layout.root })
    this.#expect(row, allBlobFolders(layout).every((folder) => isFolder(folder)) || 'a folder for blobs is missing')
    this.#expect(row, (await KeyRing.open(layout.keys, Date.now)).current().kid !== '')
    this.#expect(row, (await canLogIn(layout)) || 'the administrator cannot log in')
    this.#expectSound(row, (await fsck(layout, 'bytes')).dangling)
    rmSync(layout.root, { recursive: true })
  }

  /** From any earlier schema; a point that each step reaches is one of any step. */
  async #migration(point: ChorePoint, row: Row): Promise<void> {
    const newest = readMigrations().length
    const version = 1 + this.#random.below(newest)
    const old = await this.#oldDatabase(version)
    const layout = dataLayout(mkdtempSync(join(this.#folder, 'migration-')))
    copyFileSync(old.file, layout.database)
    const times = point.moment.startsWith('commit') ? newest + laterSteps - version : point.times
    await this.#killAndRepeat({ point: { ...point, ...(times !== undefined && { times }) }, row, data: layout.root })
    this.#expect(row, keptOf(layout.database) === old.kept || `something of schema ${version} is missing after the migration`)
    this.#expect(row, versionOf(layout.database) === newest + laterSteps || `the schema is at ${versionOf(layout.database)}`)
    const snapshots = readdirSync(layout.snapshots).filter((name) => name.endsWith('.db'))
    for (const name of snapshots) this.#expect(row, keptOf(join(layout.snapshots, name)) === old.kept || `the snapshot ${name} is torn`)
    this.#expect(row, snapshots.length > 0 || 'there is no snapshot')
    rmSync(layout.root, { recursive: true })
  }

  async #oldDatabase(version: number): Promise<{ file: string; kept: string }> {
    const known = this.#old.get(version)
    if (known) return known
    const layout = dataLayout(mkdtempSync(join(this.#folder, 'old-')))
    await makeOldDatabase(layout, version)
    const made = { file: layout.database, kept: keptOf(layout.database) }
    this.#old.set(version, made)
    return made
  }

  /** What is needed is there byte for byte, everything else is gone, and nothing is left between the two. */
  async #collection(point: ChorePoint, row: Row): Promise<void> {
    const layout = dataLayout(mkdtempSync(join(this.#folder, 'collection-')))
    const { kept } = await fillCollectable(layout)
    await this.#killAndRepeat({ point, row, data: layout.root })
    const { dangling, orphanFiles } = await fsck(layout, 'bytes')
    this.#expectSound(row, dangling)
    this.#expect(row, orphanFiles === 0 || `${orphanFiles} files without a row`)
    this.#expect(row, readdirSync(layout.collected).length === 0 || 'collected files were left')
    const left = blobsIn(layout)
    for (const digest of kept) this.#expect(row, left.includes(digest) || `${digest} is gone`)
    this.#expect(row, left.length === kept.length || `${left.length - kept.length} blobs too many are there`)
    rmSync(layout.root, { recursive: true })
  }

  async #recovery(point: ChorePoint, row: Row, work: RecoveryWork): Promise<void> {
    const place = mkdtempSync(join(this.#folder, `${work}-`))
    const { data, faults } = await setRecoveryScene(work, place)
    await this.#killAndRepeat({ point, row, data })
    for (const fault of [...(await faults()), true]) this.#expect(row, fault)
    rmSync(place, { recursive: true })
  }

  async #rotation(point: ChorePoint, row: Row): Promise<void> {
    const layout = dataLayout(join(this.#folder, 'rotation'))
    mkdirSync(layout.keys, { recursive: true })
    await this.#killAndRepeat({ point, row, data: layout.root })
    const ring = await KeyRing.open(layout.keys, Date.now)
    for (const kid of this.#acknowledged) this.#expect(row, ring.find(kid) !== undefined || `the key ${kid} is gone`)
    this.#expect(row, !this.#acknowledged.has(ring.current().kid) || 'the new key is not there')
    this.#acknowledged.add(ring.current().kid)
    // As the clocked job does, once tokens of the older ones have expired.
    if (this.#acknowledged.size < 5) return
    await pruneSigningKeys(layout.keys, Date.now() + 1000)
    this.#acknowledged.clear()
    for (const { kid } of await listSigningKeys(layout.keys)) this.#acknowledged.add(kid)
    this.#expect(row, readdirSync(layout.keys).length === this.#acknowledged.size || 'something else than keys was left')
  }

  async #killAndRepeat({ point, row, data }: { point: ChorePoint; row: Row; data: string }): Promise<void> {
    const killed = await this.#runner.run(point.work, data, point)
    if (killed.signal !== 'SIGKILL') this.#report.violate(row, 'notReached', `${point.work} ended with ${killed.code}: ${killed.said}`)
    row.kills++
    const { code, said } = await this.#runner.run(point.work, data)
    if (code === 0) row.repeated++
    else this.#report.violate(row, 'byHand', `${point.work} run again: ${said.slice(0, 1000)}`)
  }

  /** @param outcome true, or what is wrong. */
  #expect(row: Row, outcome: boolean | string): void {
    row.checked++
    if (outcome !== true) this.#report.violate(row, 'lost', String(outcome))
  }

  #expectSound(row: Row, dangling: readonly string[]): void {
    for (const what of dangling) this.#report.violate(row, 'dangling', what)
  }
}

function versionOf(path: string): number | undefined {
  const sqlite = new Sqlite(path, { readonly: true })
  const version = sqlite.prepare<[], number>('select max(version) from migration').pluck().get()
  sqlite.close()
  return version
}

async function canLogIn(layout: DataLayout): Promise<boolean> {
  const sqlite = new Sqlite(layout.database, { readonly: true })
  const hash = sqlite.prepare<[string], string>('select password_hash from account where name = ?').pluck().get(firstAdministrator)
  sqlite.close()
  return hash !== undefined && bcrypt.compare(adminPassword, hash)
}

function isFolder(path: string): boolean {
  try {
    readdirSync(path)
    return true
  } catch {
    return false
  }
}
