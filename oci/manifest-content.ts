/**
 * What a stored manifest shows to a person: its config, its layers, the platforms of an index.
 *
 * Reads only what was accepted before, and so never refuses: whatever is not of the expected form is left out. What a push must
 * keep to is manifest.ts's part.
 */
import { isDigest, type Digest } from './digest.ts'
import { isObject } from './strict-json.ts'

export interface ContentEntry {
  readonly digest: Digest
  readonly mediaType: string
  readonly sizeBytes: number
}

export interface IndexEntry extends ContentEntry {
  /** `linux/arm64/v8`; undefined when the index does not say. */
  readonly platform: string | undefined
  readonly annotations: Readonly<Record<string, string>>
}

export interface ManifestContent {
  readonly config: ContentEntry | undefined
  /** Layers of an image, blobs of an artifact. */
  readonly layers: readonly ContentEntry[]
  /** Entries of an index. */
  readonly manifests: readonly IndexEntry[]
  readonly annotations: Readonly<Record<string, string>> | undefined
}

/** What of a manifest's bytes can be shown; empty for what is no JSON object. */
export function readManifestContent(bytes: Uint8Array): ManifestContent {
  const body = readJsonObject(bytes)
  return {
    config: entryOf(body['config']),
    layers: listOf(body['layers'] ?? body['blobs']).flatMap((each) => entryOf(each) ?? []),
    manifests: listOf(body['manifests']).flatMap((each) => indexEntryOf(each) ?? []),
    annotations: isObject(body['annotations']) ? textsOf(body['annotations']) : undefined,
  }
}

/** `linux/arm64/v8` of an object with `os`, `architecture` and perhaps `variant`; undefined without the first two. */
export function platformOf(value: unknown): string | undefined {
  if (!isObject(value)) return undefined
  const [os, architecture, variant] = ['os', 'architecture', 'variant'].map((key) => textOf(value[key]))
  if (os === undefined || architecture === undefined) return undefined
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join('/')
}

export interface ImageConfig {
  readonly createdAt: string | undefined
  readonly os: string | undefined
  readonly architecture: string | undefined
  readonly variant: string | undefined
  /** The names alone: the values are where people leave their secrets. */
  readonly environment: readonly string[] | undefined
  readonly entrypoint: readonly string[] | undefined
  readonly command: readonly string[] | undefined
  readonly labels: Readonly<Record<string, string>> | undefined
}

/** What of a config's bytes can be shown. Spec: image-spec v1.1.1, config.md, "Properties". */
export function readImageConfig(bytes: Uint8Array): ImageConfig {
  const body = readJsonObject(bytes)
  const config = isObject(body['config']) ? body['config'] : {}
  return {
    createdAt: timeOf(body['created']),
    os: textOf(body['os']),
    architecture: textOf(body['architecture']),
    variant: textOf(body['variant']),
    environment: Array.isArray(config['Env']) ? wordsOf(config['Env']).map((entry) => entry.split('=', 1)[0] ?? '') : undefined,
    entrypoint: Array.isArray(config['Entrypoint']) ? wordsOf(config['Entrypoint']) : undefined,
    command: Array.isArray(config['Cmd']) ? wordsOf(config['Cmd']) : undefined,
    labels: isObject(config['Labels']) ? textsOf(config['Labels']) : undefined,
  }
}

function readJsonObject(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes))
    return isObject(value) ? value : {}
  } catch {
    return {}
  }
}

function entryOf(value: unknown): ContentEntry | undefined {
  if (!isObject(value)) return undefined
  const { digest, mediaType, size } = value
  if (typeof digest !== 'string' || !isDigest(digest) || typeof mediaType !== 'string') return undefined
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return undefined
  return { digest, mediaType, sizeBytes: size }
}

function indexEntryOf(value: unknown): IndexEntry | undefined {
  const entry = entryOf(value)
  if (!entry || !isObject(value)) return undefined
  const annotations = isObject(value['annotations']) ? textsOf(value['annotations']) : {}
  return { ...entry, platform: platformOf(value['platform']), annotations }
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function wordsOf(values: readonly unknown[]): string[] {
  return values.filter((value) => typeof value === 'string')
}

/** The members whose values are texts; made so that a member called `__proto__` is one like any other. */
function textsOf(value: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'))
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function timeOf(value: unknown): string | undefined {
  const time = typeof value === 'string' ? Date.parse(value) : Number.NaN
  const text = Number.isNaN(time) ? '' : new Date(time).toISOString()
  // Beyond the year 9999 it would have a sign.
  return /^\d{4}-/.test(text) ? text : undefined
}
