/**
 * What a flood of wrong logins costs those who are signed in: their pulls beside it, compared with their pulls beside as many
 * connections that ask GET /v2/ without credentials; and how long a right login takes meanwhile.
 */
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { account, basicAuthorization, RegistryClient } from './client.ts'
import { filledRepository, fillStore } from './fill.ts'
import { fillAccess, memberName } from './access-store.ts'
import { measureMachine, NeighbourWatch, type MachineFacts } from './machine.ts'
import { ownTarget } from './own-targets.ts'
import type { Bench } from './row.ts'
import { Server } from './server.ts'

export interface FloodResult {
  readonly machine: MachineFacts
  readonly othersShare: number
  readonly bcryptCost: number
  readonly connections: number
  readonly seconds: number
  readonly floods: readonly Flood[]
}

export interface Flood {
  readonly title: string
  /** Of the flood; 0 without one. */
  readonly requestsPerSecond: number
  /** One after the other, on a connection that stays open. */
  readonly pullsPerSecond: number
  /** Of pulls beside the plain flood. */
  readonly ratio: number
  /** Right logins, each on a new connection, in milliseconds; those that were turned away are told. */
  readonly logins: Readonly<Logins>
}

interface Logins {
  count: number
  slowestMs: number
  refused: number
}

const connections = 64
const bcryptCost = 12
const loginEveryMs = 2000
const place = { namespace: 'flooded', repositories: 1, tagsPerRepository: 1, blobs: 0 }
const repository = filledRepository(place, 0)
/** What was right is known for a while: every login is by somebody who did not sign in before. */
const people = { accounts: 500, namespaces: 1, grants: 2, teams: 1, teamMembers: 1, auditEvents: 0 }
const wrongLogins = join(import.meta.dirname, 'wrong-logins.lua')

export async function measureFloods(bench: Bench): Promise<FloodResult> {
  const machine = measureMachine(bench.folder, 16)
  const watch = new NeighbourWatch()
  const folder = `${bench.folder}/flood`
  await fillStore(folder, place)
  await fillAccess(folder, { size: people, repository, bcryptCost })
  const target = { ...ownTarget, env: { LANYARD_AUTH_BCRYPT_COST: String(bcryptCost), WORKERS: '2' } }
  const server = await Server.start(bench.processes, { target, access: 'login', folder })
  const floods: Omit<Flood, 'ratio'>[] = []
  const names = everyone()
  for (const kind of kinds) {
    floods.push(await runFlood(bench, server, { ...kind, names }))
    const { pullsPerSecond = 0, requestsPerSecond = 0, logins } = floods.at(-1) ?? {}
    bench.say(`${kind.title}: ${pullsPerSecond.toFixed(0)} pulls/s, ${requestsPerSecond.toFixed(0)} requests/s, ${JSON.stringify(logins)}`)
  }
  await server.stop()
  const beside = floods.find(({ title }) => title === plain)?.pullsPerSecond ?? Number.NaN
  const rated = floods.map((flood) => ({ ...flood, ratio: flood.pullsPerSecond / beside }))
  return { machine, othersShare: watch.share(), bcryptCost, connections, seconds: bench.amounts.seconds, floods: rated }
}

const plain = 'GET /v2/ without credentials'
const kinds: readonly { title: string; args: readonly string[] | undefined }[] = [
  { title: 'none', args: undefined },
  { title: plain, args: [] },
  { title: 'wrong passwords of one account', args: ['-s', wrongLogins, '--', 'one'] },
  { title: 'wrong passwords of names at random', args: ['-s', wrongLogins, '--', 'many'] },
]

async function runFlood(
  bench: Bench,
  server: Server,
  kind: (typeof kinds)[number] & { names: Iterator<string> },
): Promise<Omit<Flood, 'ratio'>> {
  const { seconds } = bench.amounts
  const token = await tokenOf(server)
  const [script, after] = split(kind.args)
  const args = [`-c${connections}`, '-t2', `-d${seconds}s`, ...script, `${server.url}/v2/`, ...after]
  const flood = kind.args && bench.processes.run('wrk', args)
  const untilMs = performance.now() + seconds * 1000
  const logins: Logins = { count: 0, slowestMs: 0, refused: 0 }
  const loggingIn = logInUntil(server, untilMs, { logins, names: kind.names })
  const client = new RegistryClient({ port: server.port, authorization: `Bearer ${token}` })
  const begun = performance.now()
  let pulls = 0
  for (; performance.now() < untilMs; pulls++) await client.expect(200, { method: 'GET', path: `/v2/${repository}/manifests/t000000` })
  const pullsPerSecond = (pulls * 1000) / (performance.now() - begun)
  const { stdout } = (await flood) ?? { stdout: 'Requests/sec: 0' }
  await loggingIn
  return { title: kind.title, requestsPerSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]), pullsPerSecond, logins }
}

function* everyone(): Generator<string> {
  for (let index = 0; ; index++) yield memberName(index % people.accounts)
}

/** wrk wants its options before the address, and the script's after it. */
function split(args: readonly string[] = []): [readonly string[], readonly string[]] {
  const at = args.indexOf('--')
  return at < 0 ? [args, []] : [args.slice(0, at), args.slice(at)]
}

/** Now and then somebody else, from the same address, on a connection of their own. */
async function logInUntil(server: Server, untilMs: number, { logins, names }: { logins: Logins; names: Iterator<string> }): Promise<void> {
  for (await pause(loginEveryMs / 2); performance.now() < untilMs; await pause(loginEveryMs)) {
    const authorization = `Basic ${Buffer.from(`${names.next().value}:${account.password}`).toString('base64')}`
    const client = new RegistryClient({ port: server.port, authorization })
    const begun = performance.now()
    const { status } = await client.call({ method: 'GET', path: '/token' })
    logins.count++
    logins.slowestMs = Math.max(logins.slowestMs, performance.now() - begun)
    if (status !== 200) logins.refused++
  }
}

async function tokenOf(server: Server): Promise<string> {
  const client = new RegistryClient({ port: server.port, authorization: basicAuthorization })
  const { bytes } = await client.expect(200, { method: 'GET', path: `/token?scope=repository:${repository}:pull` })
  return (JSON.parse(bytes.toString()) as { token: string }).token
}
