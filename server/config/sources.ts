/**
 * Where values come from: the file, the environment, the command line. Each source is read into the values it gives and
 * the problems it has; unknown names are problems.
 *
 * Does not judge values: load.ts does. Invariant: no problem repeats a value or a line of a file, which may hold a secret.
 */
import { readFileSync } from 'node:fs'
import { LineCounter, parseDocument } from 'yaml'
import { environmentNameOf, flagNameOf, type SettingKey, settingRows } from './settings.ts'
import { suggestion } from './suggest.ts'

/** Environment variables, as in `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>

/** Flags by their long name without dashes: `{ 'log-level': 'debug' }`. */
export type Flags = Readonly<Record<string, string | undefined>>

/** Where a value came from; `name` is the file's path, the variable or the flag, empty for a default. */
export interface Origin {
  readonly kind: 'default' | 'file' | 'environment' | 'flag'
  readonly name: string
}

/** Something that an operator must change. */
export interface Problem {
  /** The setting's key, or the unknown name as it was written. */
  readonly key: string
  readonly origin: Origin
  /** What is wrong and what is allowed; never a secret. */
  readonly message: string
}

/** A value as a source gave it, not judged yet. */
export interface Given {
  readonly key: SettingKey
  readonly value: unknown
  readonly origin: Origin
}

export interface SourceContent {
  readonly given: readonly Given[]
  readonly problems: readonly Problem[]
}

/** Names the file of settings, in the environment and on the command line. */
export const fileVariable = 'LANYARD_CONFIG'
export const fileFlag = 'config'

/** Holds a token for the commands that talk to a server; no setting of one. */
export const tokenVariable = 'LANYARD_TOKEN'

const prefix = 'LANYARD_'
const notSettings: ReadonlySet<string> = new Set([fileVariable, tokenVariable])

/** `file /etc/lanyard.yaml`, `environment LANYARD_LISTEN`, `flag --listen` or `default`. */
export function formatOrigin(origin: Origin): string {
  if (origin.kind === 'default') return 'default'
  return `${origin.kind} ${origin.kind === 'flag' ? '--' : ''}${origin.name}`
}

/** Reads the command line's values. */
export function readFlags(flags: Flags): SourceContent {
  const given: Given[] = []
  const problems: Problem[] = []
  const rows = new Map(settingRows.map((row) => [flagNameOf(row.key), row]))
  const usable = settingRows.filter((row) => row.isSecret !== true).map((row) => flagNameOf(row.key))
  for (const [name, value] of Object.entries(flags)) {
    if (name === fileFlag || value === undefined) continue
    const row = rows.get(name)
    const origin: Origin = { kind: 'flag', name }
    if (row === undefined) {
      problems.push({ key: name, origin, message: `there is no such flag${suggestion(name, [...usable, fileFlag])}` })
    } else if (row.isSecret === true) {
      const variable = environmentNameOf(row.key)
      const message = `secrets are not taken from the command line, which every user of the machine can read: use ${variable} or ${variable}_FILE`
      problems.push({ key: row.key, origin, message })
    } else {
      given.push({ key: row.key, value, origin })
    }
  }
  return { given, problems }
}

/** Reads every `LANYARD_…` variable; secrets also from the file that `LANYARD_…_FILE` names. */
export function readEnvironment(env: Environment): SourceContent {
  const given: Given[] = []
  const problems: Problem[] = []
  const keys = new Map(settingRows.map((row) => [environmentNameOf(row.key), row.key]))
  const secretFiles = new Map(
    settingRows.filter((row) => row.isSecret === true).map((row) => [`${environmentNameOf(row.key)}_FILE`, row.key]),
  )
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined || !name.startsWith(prefix) || notSettings.has(name) || isServiceLink(name, value)) continue
    const origin: Origin = { kind: 'environment', name }
    const key = keys.get(name)
    const secretKey = secretFiles.get(name)
    if (key !== undefined) {
      given.push({ key, value, origin })
    } else if (secretKey !== undefined) {
      const secret = readSecretFile(value, secretKey, origin)
      if ('message' in secret) problems.push(secret)
      else given.push(secret)
      if (env[environmentNameOf(secretKey)] !== undefined)
        problems.push({ key: secretKey, origin, message: `${environmentNameOf(secretKey)} is set as well: use one of the two` })
    } else {
      problems.push({
        key: name,
        origin,
        message: `there is no such setting${suggestion(name, [...keys.keys(), ...secretFiles.keys(), fileVariable], prefix)}`,
      })
    }
  }
  return { given, problems }
}

/** Kubernetes puts LANYARD_PORT=tcp://… and the like into every container beside a Service of that name: not settings. */
function isServiceLink(name: string, value: string): boolean {
  if (name.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(value)) return true
  return /_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(name) || /_SERVICE_(HOST|PORT(_\w+)?)$/.test(name)
}

function readSecretFile(path: string, key: SettingKey, origin: Origin): Given | Problem {
  const text = readText(path)
  if ('fault' in text) return { key, origin, message: `the file ${JSON.stringify(path)} cannot be read (${text.fault})` }
  return { key, origin, value: text.text.replace(/\r?\n$/, '') }
}

/** Reads a YAML file whose sections are the keys' parts. */
export function readSettingsFile(path: string): SourceContent {
  const origin: Origin = { kind: 'file', name: path }
  const text = readText(path)
  if ('fault' in text) return { given: [], problems: [{ key: fileFlag, origin, message: `the file cannot be read (${text.fault})` }] }
  const lineCounter = new LineCounter()
  const document = parseDocument(text.text, { lineCounter, prettyErrors: false })
  const faults = [...document.errors, ...document.warnings]
  if (faults.length > 0) {
    const messages = faults.map((fault) => `line ${lineCounter.linePos(fault.pos[0]).line} is not valid YAML (${fault.code})`)
    return { given: [], problems: messages.map((message) => ({ key: fileFlag, origin, message })) }
  }
  const content = toPlain(document)
  if (content === null) return { given: [], problems: [] }
  if (!isSection(content))
    return {
      given: [],
      problems: [{ key: fileFlag, origin, message: 'the file holds no settings: expected lines such as "listen: 127.0.0.1:5000"' }],
    }
  return readSection(content, '', origin)
}

/** Aliases that do not resolve, or that multiply without end, are found only here. */
function toPlain(document: { toJS: () => unknown }): unknown {
  try {
    return document.toJS()
  } catch {
    return []
  }
}

function readSection(section: Readonly<Record<string, unknown>>, prefix: string, origin: Origin): SourceContent {
  const given: Given[] = []
  const problems: Problem[] = []
  const keys: readonly string[] = settingRows.map((row) => row.key)
  for (const [name, value] of Object.entries(section)) {
    const key = `${prefix}${name}`
    const isPrefix = keys.some((known) => known.startsWith(`${key}.`))
    if (isPrefix && isSection(value)) {
      const inner = readSection(value, `${key}.`, origin)
      given.push(...inner.given)
      problems.push(...inner.problems)
    } else if (isPrefix && value !== null) {
      problems.push({ key, origin, message: `this is a section: write its settings below it, indented` })
    } else if (!isPrefix && keys.includes(key) && !name.includes('.')) {
      given.push({ key: key as SettingKey, value, origin })
    } else if (!isPrefix) {
      problems.push({ key, origin, message: unknownKey(key, keys) })
    }
  }
  return { given, problems }
}

function unknownKey(key: string, keys: readonly string[]): string {
  const [section, name] = key.split('.')
  if (keys.includes(key)) return `in a file, write "${name}:" indented below "${section}:"`
  return `there is no such setting${suggestion(key, keys)}`
}

function isSection(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function readText(path: string): { text: string } | { fault: string } {
  try {
    return { text: readFileSync(path, 'utf8').replace(/^\uFEFF/, '') }
  } catch (error) {
    return { fault: (error as NodeJS.ErrnoException).code ?? 'unreadable' }
  }
}
