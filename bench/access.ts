/**
 * What rights cost where many people have many: pulls by people whose right comes from different places, on a store with next to
 * nothing and on a full one, in turn; and every list that the API has, page by page.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { namespaceName, fillAccess, memberName, teamName, type AccessSize } from './access-store.ts'
import { account as judge, RegistryClient, basicAuthorization } from './client.ts'
import { filledRepository, fillStore } from './fill.ts'
import { runWrk } from './load-tools.ts'
import { measureMachine, NeighbourWatch, type MachineFacts } from './machine.ts'
import { ownTarget } from './own-targets.ts'
import type { Bench } from './row.ts'
import { Server } from './server.ts'
import { median, summarize, type Summary } from './summary.ts'

export interface AccessResult {
  readonly machine: MachineFacts
  readonly othersShare: number
  readonly small: AccessSize
  readonly full: AccessSize
  /** Pulls of one manifest by tag, a second, by who pulls. */
  readonly pulls: readonly { readonly who: string; readonly small: Summary; readonly full: Summary; readonly ofAdministrator: Summary }[]
  /** Of each list, on the full store: milliseconds of a page. */
  readonly pages: readonly { readonly path: string; readonly medianMs: number; readonly slowestMs: number }[]
}

export const fullAccess: AccessSize = {
  accounts: 2000,
  namespaces: 500,
  grants: 100_000,
  teams: 100,
  teamMembers: 2000,
  auditEvents: 1_000_000,
}
const smallAccess: AccessSize = { accounts: 2, namespaces: 1, grants: 2, teams: 1, teamMembers: 1, auditEvents: 10 }
const place = { namespace: namespaceName(0), repositories: 200, tagsPerRepository: 1, blobs: 0 }
const repository = filledRepository(place, 0)
const requestsPerPage = 40

export async function measureAccess(bench: Bench): Promise<AccessResult> {
  const machine = measureMachine(bench.folder, 16)
  const watch = new NeighbourWatch()
  const small = await startStore(bench, 'small', smallAccess)
  const full = await startStore(bench, 'full', fullAccess)
  const pulls = await comparePulls(bench, { small, full })
  await small.stop()
  const pages = []
  for (const path of listPaths()) {
    pages.push(await timePages(full, path))
    bench.say(`${path}: ${pages.at(-1)?.medianMs.toFixed(1)} ms, slowest ${pages.at(-1)?.slowestMs.toFixed(1)} ms`)
  }
  await full.stop()
  return { machine, othersShare: watch.share(), small: smallAccess, full: fullAccess, pulls, pages }
}

async function startStore(bench: Bench, name: string, size: AccessSize): Promise<Server> {
  const folder = `${bench.folder}/access-${name}`
  bench.say(`filling ${name}: ${size.accounts} accounts, ${size.namespaces} namespaces, ${size.grants} roles, ${size.auditEvents} events`)
  await fillStore(folder, place)
  await fillAccess(folder, { size, repository })
  // One worker, so that both stores are measured by the same share of the machine.
  return Server.start(bench.processes, { target: { ...ownTarget, name, env: { WORKERS: '1' } }, access: 'login', folder })
}

const pullers = [
  { who: 'administrator', name: judge.name },
  { who: 'reader of the namespace through a team', name: memberName(0) },
  { who: 'reader by an exception in the repository', name: memberName(1) },
]

async function comparePulls(bench: Bench, stores: { small: Server; full: Server }): Promise<AccessResult['pulls']> {
  const url = (server: Server): string => `${server.url}/v2/${repository}/manifests/t000000`
  const runs: { who: string; store: 'small' | 'full'; server: Server; authorization: string; rates: number[] }[] = []
  for (const { who, name } of pullers) {
    for (const store of ['small', 'full'] as const) {
      const server = stores[store]
      runs.push({ who, store, server, authorization: `Bearer ${await tokenOf(server, name)}`, rates: [] })
    }
  }
  const load = ({ server, authorization }: (typeof runs)[number], seconds: number) =>
    runWrk(bench.processes, { url: url(server), seconds, headers: { Authorization: authorization } })
  for (const run of runs) await load(run, 1)
  for (let round = 0; round < bench.amounts.runs; round++) {
    for (const run of runs) run.rates.push((await load(run, bench.amounts.seconds)).requestsPerSecond)
  }
  const ratesOf = (who: string, store: string): number[] => runs.find((run) => run.who === who && run.store === store)?.rates ?? []
  const administrator = ratesOf('administrator', 'full')
  return pullers.map(({ who }) => {
    const full = ratesOf(who, 'full')
    const ratios = full.map((rate, round) => rate / (administrator[round] ?? Number.NaN))
    const result = { who, small: summarize(ratesOf(who, 'small')), full: summarize(full), ofAdministrator: summarize(ratios) }
    bench.say(`${who}: ${result.full.median.toFixed(0)} pulls/s, ${result.ofAdministrator.median.toFixed(2)} of the administrator's`)
    return result
  })
}

async function tokenOf(server: Server, name: string): Promise<string> {
  const authorization = `Basic ${Buffer.from(`${name}:${judge.password}`).toString('base64')}`
  const client = new RegistryClient({ port: server.port, authorization })
  const path = `/token?scope=repository:${repository}:pull`
  const { bytes } = await client.expect(200, { method: 'GET', path })
  return (JSON.parse(bytes.toString()) as { token: string }).token
}

/** Every list of the API, and the audit log by each of its filters. */
function listPaths(): string[] {
  const [namespace, team, name] = [namespaceName(250), teamName(50), encodeURIComponent(repository)]
  const filters = [
    '',
    `?actor=${memberName(77)}`,
    `?target=${namespaceName(13)}/app1`,
    `?target=${namespaceName(13)}/*`,
    '?action=delete',
    '?outcome=denied',
    `?actor=${memberName(77)}&outcome=denied`,
    `?action=login&target=${namespaceName(13)}/*`,
    `?from=${new Date(Date.now() - 500_000_000).toISOString()}&to=${new Date(Date.now() - 400_000_000).toISOString()}`,
    '?order=oldest',
  ]
  return [
    '/accounts',
    '/namespaces',
    `/namespaces/${namespace}/members`,
    `/namespaces/${namespace}/robots`,
    '/teams',
    `/teams/${team}/members`,
    '/repositories',
    `/repositories/${name}/tags`,
    '/me/tokens',
    '/me/sessions',
    ...filters.map((filter) => `/audit${filter}`),
  ]
}

/** Page after page, from the start again when it is at the end. */
async function timePages(server: Server, path: string): Promise<AccessResult['pages'][number]> {
  const client = new RegistryClient({ port: server.port, authorization: basicAuthorization })
  const durations: number[] = []
  let cursor: string | null = null
  for (let count = 0; count < requestsPerPage + 3; count++) {
    const joint = path.includes('?') ? '&' : '?'
    const begun = performance.now()
    const reply = await client.expect(200, { method: 'GET', path: `/api/v1${path}${cursor === null ? '' : `${joint}cursor=${cursor}`}` })
    // The first ones compile.
    if (count >= 3) durations.push(performance.now() - begun)
    cursor = (JSON.parse(reply.bytes.toString()) as { next: string | null }).next
    await pause(1)
  }
  return { path, medianMs: median(durations), slowestMs: Math.max(...durations) }
}
