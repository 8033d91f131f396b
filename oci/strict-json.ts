/**
 * JSON that means the same to every reader: no second meaning by duplicate keys, invalid UTF-8, infinite numbers or prototype tricks.
 *
 * What the document says is not looked at. Invariant: depth is bounded before anything recursive runs, every pass is linear, and bad input
 * gives a RegistryError that names the problem.
 */
import { RegistryError } from './errors.ts'

export interface StrictJsonOptions {
  /** How many arrays and objects may be open at once; default 64. */
  readonly maxDepth?: number
}

const quote = 0x22
const comma = 0x2c
const minus = 0x2d
const backslash = 0x5c
const openArray = 0x5b
const closeArray = 0x5d
const openObject = 0x7b
const closeObject = 0x7d

/** Stands for the keys of every object that has none yet; never added to. */
const noKeys = new Set<string>()

/** The shortest number beyond every double is `2e308`. */
const shortestInfinity = 5

/**
 * The value of a JSON document.
 *
 * @throws {RegistryError} manifestInvalid: not UTF-8, a byte order mark, too deep, not JSON, bytes after the end, a duplicate or `__proto__`
 * key, or a number beyond what a double holds.
 * Spec: RFC 8259, sections 4, 6 and 8.1, read strictly.
 */
export function parseStrictJson(bytes: Uint8Array, options: StrictJsonOptions = {}): unknown {
  const text = decode(bytes)
  checkDepth(text, options.maxDepth ?? 64)
  const value = parse(text)
  const keys = checkKeysAndNumbers(text)
  return keys.some(({ isEscaped }) => isEscaped) ? parseByPlaces(text, keys) : value
}

/** Whether `value` is a JSON object: not an array, not null. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function invalid(problem: string, cause?: unknown): RegistryError {
  return new RegistryError('manifestInvalid', { message: `the manifest is not valid: ${problem}`, cause })
}

function decode(bytes: Uint8Array): string {
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) throw invalid('it starts with a byte order mark')
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw invalid('it is not UTF-8', cause)
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    const problem = cause instanceof SyntaxError ? cause.message : 'unreadable'
    throw invalid(`it is not JSON (${problem})`, cause)
  }
}

/** Runs before JSON.parse, on text that may be anything. */
function checkDepth(text: string, maxDepth: number): void {
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const char = text.charCodeAt(at)
    if (char === quote) at = endOfString(text, at)
    else if (char === openArray || char === openObject) depth++
    else if (char === closeArray || char === closeObject) depth--
    if (depth > maxDepth) throw invalid(`it is nested more than ${maxDepth} levels deep`)
  }
}

/** A key, and where its quotes stand in the text. */
interface KeyPlace {
  readonly name: string
  readonly start: number
  readonly end: number
  readonly isEscaped: boolean
  /** Its number in its object. */
  readonly index: number
}

/**
 * V8 may take a key with an escape for another key that some document had before: after `{"\\":1}` it reads the key of `{"\"":1}` as a
 * backslash (nodejs/node#63785, in Node 24 and later). Who can choose the first document could so hide a field of the second. A document
 * with such keys is therefore read with its keys numbered, and they get their names back afterwards.
 *
 * @param keys all of them, in the order of the text.
 */
function parseByPlaces(text: string, keys: readonly KeyPlace[]): unknown {
  const pieces: string[] = []
  let from = 0
  for (const { start, end, index } of keys) {
    pieces.push(text.slice(from, start), `"k${index}"`)
    from = end + 1
  }
  pieces.push(text.slice(from))
  return withNames(JSON.parse(pieces.join('')), keys.values())
}

/** Meets the keys in the order of the text. As deep as the document, whose depth has been checked. */
function withNames(value: unknown, keys: Iterator<KeyPlace>): unknown {
  if (Array.isArray(value)) return value.map((entry) => withNames(entry, keys))
  if (!isObject(value)) return value
  return Object.fromEntries(Object.values(value).map((entry) => [keys.next().value?.name, withNames(entry, keys)]))
}

/** Runs after JSON.parse, on text known to be well formed. */
function checkKeysAndNumbers(text: string): KeyPlace[] {
  const places: KeyPlace[] = []
  // One entry for each open container: the keys of an object, undefined for an array. A set is made only for an object that has a key:
  // four mebibytes hold 1.4 million empty ones.
  const open: (Set<string> | undefined)[] = []
  let expectsKey = false
  for (let at = 0; at < text.length; at++) {
    const char = text.charCodeAt(at)
    if (char === quote) {
      const end = endOfString(text, at)
      if (expectsKey) {
        const literal = text.slice(at, end + 1)
        const isEscaped = literal.includes('\\')
        // A string by itself is read right.
        const name = isEscaped ? String(JSON.parse(literal)) : literal.slice(1, -1)
        const keys = withKey(open.pop(), name)
        open.push(keys)
        places.push({ name, start: at, end, isEscaped, index: keys.size - 1 })
      }
      expectsKey = false
      at = end
    } else if (char === openObject || char === openArray) {
      expectsKey = char === openObject
      open.push(expectsKey ? noKeys : undefined)
    } else if (char === closeObject || char === closeArray) {
      open.pop()
      expectsKey = false
    } else if (char === comma) expectsKey = open.at(-1) !== undefined
    else if (char === minus || isDigit(char)) at = checkNumber(text, at)
  }
  return places
}

function withKey(keys: Set<string> | undefined, key: string): Set<string> {
  if (key === '__proto__') throw invalid('it has a key "__proto__"')
  if (keys === undefined || keys === noKeys) return new Set([key])
  if (keys.has(key)) throw invalid(`it has the key ${JSON.stringify(key.slice(0, 80))} twice in one object`)
  return keys.add(key)
}

/** The index of the last character of the number that starts at `start`. */
function checkNumber(text: string, start: number): number {
  let end = start + 1
  while (end < text.length && isInNumber(text.charCodeAt(end))) end++
  if (end - start >= shortestInfinity && !Number.isFinite(Number(text.slice(start, end)))) {
    throw invalid(`the number ${text.slice(start, Math.min(end, start + 40))} is too large`)
  }
  return end - 1
}

function isDigit(char: number): boolean {
  return char >= 0x30 && char <= 0x39
}

function isInNumber(char: number): boolean {
  // digits, + - . and the e of an exponent
  return isDigit(char) || char === 0x2b || char === minus || char === 0x2e || char === 0x65 || char === 0x45
}

/** The index of the quote that closes the string opened at `start`; the text's length if none does. */
function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1)
  while (end !== -1 && isEscaped(text, end)) end = text.indexOf('"', end + 1)
  return end === -1 ? text.length : end
}

/** A quote is escaped when an odd number of backslashes stands before it. Each run of them is counted once. */
function isEscaped(text: string, at: number): boolean {
  let first = at
  while (text.charCodeAt(first - 1) === backslash) first--
  return (at - first) % 2 === 1
}
