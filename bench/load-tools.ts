/**
 * The load programs that are better at it than a client in Node would be: wrk for many small answers, ab for HEAD (wrk waits for the
 * body that a HEAD does not have), curl for large bodies. Runs them and reads what they print.
 *
 * An answer that is not a success, or a connection that broke, is an error: its speed would mean nothing.
 */
import { accessSync, constants, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Processes } from './processes.ts'

export type Tool = 'wrk' | 'ab' | 'curl' | 'sync'

/** Debian's names. */
const packageOf: Readonly<Record<Tool, string>> = { wrk: 'wrk', ab: 'apache2-utils', curl: 'curl', sync: 'coreutils' }

/** What many requests over some connections took. */
export interface Load {
  readonly requests: number
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

export interface LoadOptions {
  readonly url: string
  readonly seconds: number
  readonly headers: Readonly<Record<string, string>>
  /** Requested one after the other in random order instead of the URL's own. A file, one path a line. */
  readonly pathsFile?: string
}

const connections = 32
const threads = 2
const randomPaths = join(import.meta.dirname, 'random-paths.lua')

/** @throws when one of the programs is not installed, with the package that has it */
export function requireTools(tools: readonly Tool[], path: string = process.env['PATH'] ?? ''): void {
  const missing = [...new Set(tools)].filter((tool) => !path.split(delimiter).some((folder) => isProgram(join(folder, tool))))
  if (missing.length === 0) return
  const packages = [...new Set(missing.map((tool) => packageOf[tool]))]
  throw new Error(
    `${missing.join(', ')} not found: on Debian, apt-get install ${packages.join(' ')}; or leave the rows that need it out, with --only`,
  )
}

/** GET over 32 connections. */
export async function runWrk(processes: Processes, { url, seconds, headers, pathsFile }: LoadOptions): Promise<Load> {
  const script = pathsFile === undefined ? [] : ['-s', randomPaths]
  const args = [`-c${connections}`, `-t${threads}`, `-d${seconds}s`, '--latency', ...script, ...headerArguments(headers), url]
  const { stdout } = await processes.run('wrk', pathsFile === undefined ? args : [...args, '--', pathsFile])
  return parseWrk(stdout)
}

/** @throws when an answer was no success, or a connection broke */
export function parseWrk(text: string): Load {
  const refused = /Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1]
  if (refused !== undefined) throw new Error(`${refused} requests were answered with an error`)
  const [, connect, read, write] = /Socket errors: connect (\d+), read (\d+), write (\d+)/.exec(text) ?? []
  const broken = Number(connect ?? 0) + Number(read ?? 0) + Number(write ?? 0)
  if (broken > 0) throw new Error(`${broken} connections broke`)
  return {
    requests: Number(field(text, /(\d+) requests in/)),
    requestsPerSecond: Number(field(text, /Requests\/sec:\s+([\d.]+)/)),
    p50Ms: milliseconds(field(text, /^\s+50%\s+(\S+)/m)),
    p99Ms: milliseconds(field(text, /^\s+99%\s+(\S+)/m)),
  }
}

/** HEAD over 32 connections. @param options.folder where ab may put a file for a moment */
export async function runAb(
  processes: Processes,
  { url, seconds, headers, folder }: Omit<LoadOptions, 'pathsFile'> & { readonly folder: string },
): Promise<Load> {
  const endless = '100000000'
  // What it prints holds whole milliseconds, the CSV has decimals.
  const csvFile = join(folder, 'ab.csv')
  const args = ['-q', '-i', '-k', '-c', String(connections), '-t', String(seconds), '-n', endless, '-e', csvFile]
  const { stdout } = await processes.run('ab', [...args, ...headerArguments(headers), url])
  return parseAb(stdout, readFileSync(csvFile, 'utf8'))
}

/** @param percentiles lines of a percentage and milliseconds. @throws when an answer was no success */
export function parseAb(text: string, percentiles: string): Load {
  const failed = Number(field(text, /Failed requests:\s+(\d+)/)) + Number(/Non-2xx responses:\s+(\d+)/.exec(text)?.[1] ?? 0)
  if (failed > 0) throw new Error(`${failed} requests failed`)
  return {
    requests: Number(field(text, /Complete requests:\s+(\d+)/)),
    requestsPerSecond: Number(field(text, /Requests per second:\s+([\d.]+)/)),
    p50Ms: Number(field(percentiles, /^50,([\d.]+)/m)),
    p99Ms: Number(field(percentiles, /^99,([\d.]+)/m)),
  }
}

export interface Transfer {
  readonly seconds: number
  /** The answer's Location header. */
  readonly location: string | undefined
}

/** One transfer; the body of the answer is thrown away. @throws when the answer has another status */
export async function runCurl(processes: Processes, url: string, options: { args?: readonly string[]; status: number }): Promise<Transfer> {
  const common = ['-sS', '-g', '-o', '/dev/null', '-D', '-', '-H', 'Expect:', '-w', '\nTRANSFER %{http_code} %{time_total}\n']
  const { stdout } = await processes.run('curl', [...common, ...(options.args ?? []), url])
  const [, status, seconds] = /^TRANSFER (\d+) ([\d.]+)$/m.exec(stdout) ?? []
  if (Number(status) !== options.status) throw new Error(`${url} answered ${status} instead of ${options.status}`)
  return { seconds: Number(seconds), location: /^location:\s*(\S+)/im.exec(stdout)?.[1] }
}

function headerArguments(headers: Readonly<Record<string, string>>): string[] {
  return Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
}

function field(text: string, pattern: RegExp): string {
  const found = pattern.exec(text)?.[1]
  if (found === undefined) throw new Error(`the load program printed something else than expected: ${text.slice(0, 500)}`)
  return found
}

/** wrk writes `850.00us`, `3.21ms`, `1.02s`, `1.50m`. */
function milliseconds(text: string): number {
  const factors: Readonly<Record<string, number>> = { us: 1e-3, ms: 1, s: 1e3, m: 6e4 }
  const [, amount, unit = ''] = /^([\d.]+)([a-z]+)$/.exec(text) ?? []
  return Number(amount) * (factors[unit] ?? Number.NaN)
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
