/**
 * The log: JSON lines for machines, readable lines on a terminal, made in this process.
 *
 * Owns the look of a line and what must not be in it; who writes which line is decided elsewhere. Invariants: the value of a
 * key that names a secret is never written, and no text of a client can begin a line or move a terminal's cursor.
 */
import pino from 'pino'
import { prettyFactory } from 'pino-pretty'
import type { Settings } from './config/settings.ts'

/** Without child loggers: pino does not let what is bound to one be looked through for secrets. */
export type Logger = Pick<pino.Logger, 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'flush' | 'level' | 'isLevelEnabled'>

/** Where lines go: one call for each line, its line break included. */
export interface LogDestination {
  readonly write: (line: string) => void
}

export interface LogSurroundings {
  /** Whether standard output is a terminal. */
  readonly isTerminal: boolean
  /** Instead of standard output. */
  readonly destination?: LogDestination
}

const standardOutput = 1
/** A pipe takes this much in one piece, so that lines of several workers do not mix (Linux, PIPE_BUF). */
const atomicWriteBytes = 4096
const maxDepth = 6
const secretKeys = new Set([
  'authorization',
  'proxy-authorization',
  'cookie',
  'set-cookie',
  'password',
  'passwordhash',
  'secret',
  'token',
  'accesstoken',
  'access_token',
  'refreshtoken',
  'refresh_token',
  'id_token',
  'privatekey',
])

/** A logger on standard output, or on a destination of the caller's. */
export function createLogger(settings: Settings['log'], surroundings: LogSurroundings): Logger {
  const { isTerminal, destination } = surroundings
  const isPretty = settings.format === 'pretty' || (settings.format === 'auto' && isTerminal)
  const options: pino.LoggerOptions = {
    level: settings.level,
    base: { pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }), log: withoutSecrets },
    // withoutSecrets has made a plain object of an error already; pino would do it again and lose its type.
    serializers: { err: (error: unknown) => error },
    hooks: { streamWrite: escapeControls },
  }
  if (isPretty) return pino(options, prettyInto(destination ?? pino.destination({ dest: standardOutput, sync: true }), isTerminal))
  // Asynchronous: while one write is under way the next lines gather, so that an access line costs no wait. pino writes out
  // the rest when the process exits.
  return pino(options, destination ?? pino.destination({ dest: standardOutput, sync: false, maxWrite: atomicWriteBytes }))
}

/** What JSON leaves as it is and a terminal acts on, all of it inside strings: DEL, the C1 controls, changes of direction. */
function escapeControls(line: string): string {
  return line.replaceAll(
    /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** Writes nothing. */
export function createSilentLogger(): Logger {
  return pino({ level: 'silent' }, { write: () => undefined })
}

function withoutSecrets(record: object): Record<string, unknown> {
  return clean(record, 0) as Record<string, unknown>
}

/** A copy in which secrets and raw bytes are replaced; what nests too deep, or in a circle, is cut. */
function clean(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`
  if (depth === maxDepth) return '[deeper]'
  if (Array.isArray(value)) return value.map((item) => clean(item, depth + 1))
  if (value instanceof Error) return clean({ ...pino.stdSerializers.err(value) }, depth + 1)
  if ('toJSON' in value) return value
  const copy: Record<string, unknown> = {}
  for (const [key, item] of Object.entries(value)) copy[key] = secretKeys.has(key.toLowerCase()) ? '[secret]' : clean(item, depth + 1)
  return copy
}

/** Turns JSON lines into `[12:30:01.123] INFO: message key=value`. */
function prettyInto(destination: LogDestination, colorize: boolean): LogDestination {
  const pretty = prettyFactory({ colorize, translateTime: 'SYS:HH:MM:ss.l' })
  // pino-pretty prints some keys as they are (name, caller, stack): it gets nothing but what is safe to print.
  return { write: (line) => destination.write(pretty(printable(JSON.parse(line)))) }
}

function printable(record: Readonly<Record<string, unknown>>): Record<string, string> {
  const { level, time, pid: _pid, msg, err, ...fields } = record
  const { headline, rest } = headlineOf(typeof msg === 'string' ? msg : '', fields)
  const pairs = Object.entries(rest).map(([key, value]) => ` ${visible(key)}=${formatValue(value)}`)
  return { level: visible(String(level)), time: visible(String(time)), msg: `${visible(headline)}${pairs.join('')}${formatError(err)}` }
}

/** A request reads as `GET /v2/ 200 1.5 ms`, with the few fields that tell whose it was. */
function headlineOf(
  message: string,
  fields: Readonly<Record<string, unknown>>,
): { headline: string; rest: Readonly<Record<string, unknown>> } {
  const { requestId: _requestId, method, path, status, durationMs, endpoint: _endpoint, agent: _agent, ...rest } = fields
  if (message !== 'request' || typeof method !== 'string' || typeof path !== 'string') return { headline: message, rest: fields }
  return { headline: `${method} ${path} ${String(status)} ${String(durationMs)} ms`, rest }
}

function formatValue(value: unknown): string {
  if (typeof value === 'string' && /^[\w.:/@%+-]+$/.test(value)) return value
  return visible(JSON.stringify(value) ?? 'undefined')
}

/** Every line of a stack is indented, also one that a message brought in, so that none looks like a line of the log. */
function formatError(error: unknown): string {
  if (error === undefined) return ''
  const stack = typeof error === 'object' && error !== null && 'stack' in error ? error.stack : undefined
  const text = typeof stack === 'string' ? stack : (JSON.stringify(error) ?? '')
  return text
    .split('\n')
    .map((line) => `\n    ${visible(line)}`)
    .join('')
}

/** Control and direction characters as the escapes that JSON would use. */
function visible(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    const escaped = JSON.stringify(character).slice(1, -1)
    return escaped === character ? `\\u{${character.codePointAt(0)?.toString(16)}}` : escaped
  })
}
