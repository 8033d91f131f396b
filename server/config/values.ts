/**
 * The kinds of value a setting can have: each a zod schema that reads the text of a flag or an environment variable as
 * well as what YAML made of it, and whose description says in a person's words what is allowed.
 *
 * Owns no setting. Invariant: a schema never puts the value into its error, because the value may be a secret.
 */
import { isIP } from 'node:net'
import { z } from 'zod'
import { parseListen } from './listen.ts'

const truths: Readonly<Record<string, boolean>> = {
  true: true,
  yes: true,
  on: true,
  1: true,
  false: false,
  no: false,
  off: false,
  0: false,
}
const powers: Readonly<Record<string, number>> = { '': 0, k: 1, m: 2, g: 3, t: 4 }

/**
 * Reads `true`, `yes`, `on`, `1` and their opposites, in any case.
 * @throws {RangeError} anything else
 */
export function parseBoolean(text: string): boolean {
  const key = text.toLowerCase()
  const value = Object.hasOwn(truths, key) ? truths[key] : undefined
  if (value === undefined) throw new RangeError('not a truth value')
  return value
}

/**
 * Reads a number of bytes: `4194304`, `4MiB` (powers of 1024), `4MB` (powers of 1000).
 * @returns bytes, a safe integer
 * @throws {RangeError} not a size, not a whole number of bytes, or too large to count exactly
 */
export function parseSize(text: string): number {
  const groups = /^(?<amount>\d{1,16}(?:\.\d{1,6})?) ?(?:(?<prefix>[kmgt]?)(?<binary>i?)b)?$/i.exec(text)?.groups
  const prefix = groups?.['prefix']?.toLowerCase() ?? ''
  const isBinary = Boolean(groups?.['binary'])
  const sizeBytes = Number(groups?.['amount']) * (isBinary ? 1024 : 1000) ** (powers[prefix] ?? 0)
  if (!Number.isSafeInteger(sizeBytes) || (isBinary && prefix === '')) throw new RangeError('not a size in bytes')
  return sizeBytes
}

/** Writes bytes as `4 MiB` where that is exact, otherwise as a plain number. */
export function formatSize(sizeBytes: number): string {
  const units = ['TiB', 'GiB', 'MiB', 'KiB']
  const at = units.findIndex((_, index) => sizeBytes >= 1024 ** (4 - index) && sizeBytes % 1024 ** (4 - index) === 0)
  return at === -1 ? String(sizeBytes) : `${sizeBytes / 1024 ** (4 - at)} ${units[at]}`
}

const isPrintable = (text: string): boolean => !/\p{Cc}/u.test(text)
const plainText = z.string().min(1).refine(isPrintable)
const scalar = z.union([z.string(), z.number(), z.boolean()])

/** From a parser of text to a schema of whatever YAML, a flag or an environment variable gave. */
function parsedBy<T>(parse: (text: string) => T) {
  return scalar.transform((value, context): T => {
    try {
      return parse(String(value))
    } catch {
      context.addIssue({ code: 'custom', message: 'not allowed' })
      return z.NEVER
    }
  })
}

/** A whole number in a closed range. */
export function wholeNumber(range: { min: number; max: number }) {
  const text = z.string().regex(/^\d{1,15}$/)
  return z
    .union([z.number(), text.transform(Number)])
    .pipe(z.int().min(range.min).max(range.max))
    .describe(`a whole number from ${range.min} to ${range.max}`)
}

/** A number in a closed range, with decimals or without. */
export function number(range: { min: number; max: number }) {
  const text = z.string().regex(/^\d{1,15}(?:\.\d{1,9})?$/)
  return z
    .union([z.number(), text.transform(Number)])
    .pipe(z.number().min(range.min).max(range.max))
    .describe(`a number from ${range.min} to ${range.max}`)
}

/** A number of bytes in a closed range. */
export function size(range: { min: number; max: number }) {
  return parsedBy(parseSize)
    .pipe(z.int().min(range.min).max(range.max))
    .describe(`a size from ${formatSize(range.min)} to ${formatSize(range.max)}, in bytes or with KiB, MiB, GiB (or kB, MB, GB)`)
}

/** One of a few words. */
export function oneOf<const T extends readonly string[]>(words: T) {
  return z.enum(words).describe(`one of ${words.join(', ')}`)
}

/** On or off. */
export function truth() {
  return parsedBy(parseBoolean).describe('true or false (also yes, no, on, off, 1, 0)')
}

/** A file or folder; relative to where the command is started. */
export function path() {
  return plainText.describe('a path')
}

/** A listen address, kept as text for parseListen. */
export function listenAddress() {
  return plainText
    .refine((text) => succeeds(() => parseListen(text)))
    .describe('host:port, [v6]:port or :port for every address of the machine; port 0 takes any free one')
}

/** An http or https URL that names only a host and perhaps a port; without a slash at its end. */
export function baseUrl() {
  return plainText
    .refine((text) => /^https?:\/\/[^/?#@\s\\]+\/?$/i.test(text) && URL.canParse(text))
    .transform((text) => new URL(text).origin)
    .describe('an http:// or https:// URL with a host and perhaps a port, without user, path or query')
}

/** Addresses and blocks of addresses: a YAML list, or one text separated by commas. */
export function addressBlocks() {
  const text = z.string().transform(splitList)
  const block = z.string().refine(isAddressBlock)
  return z
    .union([text, z.array(z.string())])
    .pipe(z.array(block))
    .readonly()
    .describe('IP addresses or CIDR blocks such as 10.0.0.0/8 or fd00::/8, as a list or separated by commas')
}

/** A password as bcrypt and HTTP Basic can carry it. */
export function password() {
  return z
    .string()
    .refine((text) => Array.from(text).length >= 8 && Buffer.byteLength(text) <= 72 && isPrintable(text))
    .describe('8 characters to 72 bytes of UTF-8, without control characters (quoted, if a file would read it as a number)')
}

/** A secret that travels in an Authorization header. */
export function bearerToken() {
  return z
    .string()
    .regex(/^[A-Za-z0-9\-._~+/]{16,512}={0,2}$/)
    .describe('16 to 512 letters, digits or - . _ ~ + /, for example what "openssl rand -hex 32" prints')
}

function splitList(text: string): string[] {
  const parts = text.split(',').map((part) => part.trim())
  return parts.length === 1 && parts[0] === '' ? [] : parts
}

function isAddressBlock(text: string): boolean {
  const [, address = '', prefix] = /^([^/%]+)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const family = isIP(address)
  return family !== 0 && Number(prefix ?? 0) <= (family === 4 ? 32 : 128)
}

function succeeds(action: () => unknown): boolean {
  try {
    action()
    return true
  } catch {
    return false
  }
}
