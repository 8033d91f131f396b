/**
 * From sources to settings: default < file < environment < flag.
 *
 * Every value that any source gives is checked, also one that another source overrides, and all problems are reported
 * together. Invariant: no message holds the value of a secret.
 */
import {
  type Environment,
  fileFlag,
  fileVariable,
  type Flags,
  formatOrigin,
  type Given,
  type Origin,
  type Problem,
  readEnvironment,
  readFlags,
  readSettingsFile,
  type SourceContent,
} from './sources.ts'
import { allowedFor, type FlatSettings, nestSettings, type SettingKey, type SettingRow, settingRows, type Settings } from './settings.ts'

/** What the process was given. */
export interface Sources {
  readonly env: Environment
  readonly flags: Flags
}

export type Origins = Readonly<Record<SettingKey, Origin>>

export interface LoadedSettings {
  readonly settings: Settings
  /** The same values under their dotted keys. */
  readonly flat: FlatSettings
  readonly origins: Origins
}

/** All that is wrong with the settings, one line each. */
export class ConfigError extends Error {
  readonly problems: readonly Problem[]

  constructor(problems: readonly Problem[]) {
    const lines = problems.map(({ key, origin, message }) => `  ${key} (${formatOrigin(origin)}): ${message}`)
    super(`the settings have ${problems.length === 1 ? 'a problem' : `${problems.length} problems`}:\n${lines.join('\n')}`)
    this.name = 'ConfigError'
    this.problems = problems
  }
}

const defaultOrigin: Origin = { kind: 'default', name: '' }

/**
 * Reads and checks every setting. The file is the one that `--config` or `LANYARD_CONFIG` names; without either there is none.
 * @throws {ConfigError} anything unknown, unreadable or not allowed
 */
export function loadSettings(sources: Sources): LoadedSettings {
  const contents = [readFile(sources), readEnvironment(sources.env), readFlags(sources.flags)]
  const problems = contents.flatMap((content) => content.problems)
  const values: Record<string, unknown> = Object.fromEntries(settingRows.map((row) => [row.key, row.default]))
  const origins: Record<string, Origin> = Object.fromEntries(settingRows.map((row) => [row.key, defaultOrigin]))
  for (const given of contents.flatMap((content) => content.given)) {
    const checked = check(given)
    if ('message' in checked) problems.push(checked)
    else values[given.key] = checked.value
    origins[given.key] = given.origin
  }
  problems.push(...checkTogether(values as FlatSettings, origins as Origins, problems))
  if (problems.length > 0) throw new ConfigError(problems)
  const flat = values as FlatSettings
  return { settings: nestSettings(flat), flat, origins: origins as Origins }
}

function readFile({ env, flags }: Sources): SourceContent {
  const path = flags[fileFlag] ?? env[fileVariable]
  return path === undefined ? { given: [], problems: [] } : readSettingsFile(path)
}

function check({ key, value, origin }: Given): { value: unknown } | Problem {
  const row = settingRows.find((each) => each.key === key)
  const result = row?.schema.safeParse(value)
  if (row === undefined || result === undefined) throw new Error(`no row for ${key}`)
  if (result.success) return { value: result.data }
  return { key, origin, message: `${shownValue(row, value)} is not allowed; expected ${allowedFor(row)}` }
}

/** The value as it was given, unless it is a secret or holds one. */
function shownValue(row: SettingRow, value: unknown): string {
  if (row.isSecret === true) return value === '' ? 'an empty value' : 'the value (not shown)'
  const text = JSON.stringify(value) ?? 'nothing'
  const masked = text.replace(/\/\/[^/@]*@/, '//***@')
  return masked.length > 80 ? `${masked.slice(0, 77)}...` : masked
}

/** Rules between settings; those whose own value is wrong have been reported already. */
function checkTogether(values: FlatSettings, origins: Origins, problems: readonly Problem[]): Problem[] {
  const pair = ['tls.certificate', 'tls.key'] as const
  const isReported = problems.some((problem) => pair.some((key) => key === problem.key))
  const missing = pair.filter((key) => values[key] === undefined)
  const [given] = pair.filter((key) => values[key] !== undefined)
  if (isReported || missing.length !== 1 || given === undefined) return []
  return missing.map((key) => ({ key, origin: origins[given], message: `must be set as well, because ${given} is: https needs both` }))
}
