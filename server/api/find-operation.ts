/**
 * From a raw path to the operations that stand there. A path is split once, before decoding: an encoded slash never makes a segment.
 *
 * Invariant: the path is chosen before the method. What is longer or more literal comes first, so that `…/{name}/tags` is never taken
 * for a repository whose name ends in `/tags`, whatever the method: that one must be written with its slashes encoded.
 */
import { RegistryError } from '../../oci/errors.ts'
import { apiRoot, type ApiMethod, type Operation } from './operation.ts'

/** The operations of one path. */
export interface ApiPath {
  /** Such as `/repositories/{name}`. */
  readonly template: string
  readonly segments: readonly string[]
  readonly operations: ReadonlyMap<ApiMethod, Operation>
}

export interface FoundPath {
  readonly path: ApiPath
  /** Decoded, not checked. */
  readonly parameters: Readonly<Record<string, string>>
}

const isParameter = (segment: string): boolean => segment.startsWith('{')
const restName = '{name}'

/** The paths of a table, those with the fewest parameters first. */
export function pathsOf(operations: readonly Operation[]): ApiPath[] {
  const groups = Map.groupBy(operations, (operation) => operation.path)
  const paths = Array.from(groups, ([template, group]) => ({
    template,
    segments: template.split('/').slice(1),
    operations: new Map(group.map((operation) => [operation.method, operation])),
  }))
  return paths.toSorted((a, b) => a.segments.filter(isParameter).length - b.segments.filter(isParameter).length)
}

/**
 * The path that a request means; undefined when it is none of the API's.
 * @param rawPath as sent, without the query
 * @throws {RegistryError} requestInvalid: a percent sequence is malformed
 */
export function findPath(paths: readonly ApiPath[], rawPath: string): FoundPath | undefined {
  if (!rawPath.startsWith(`${apiRoot}/`)) return undefined
  const sent = rawPath.slice(apiRoot.length + 1).split('/')
  const exact = paths.find(({ segments }) => segments.length === sent.length && segments.every((each, at) => fits(each, sent[at] ?? '')))
  if (exact) return { path: exact, parameters: parametersOf(exact, sent) }
  const open = paths.find(({ segments }) => isOpenEnded(segments) && startsAs(segments, sent))
  if (!open) return undefined
  const head = open.segments.length - 1
  return { path: open, parameters: parametersOf(open, [...sent.slice(0, head), sent.slice(head).join('/')]) }
}

/** The methods of a path as Allow names them. */
export function methodsOf({ operations }: ApiPath): string[] {
  return [...operations.keys()].flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method]))
}

function fits(segment: string, sent: string): boolean {
  return isParameter(segment) ? sent !== '' : segment === sent
}

function isOpenEnded(segments: readonly string[]): boolean {
  return segments.at(-1) === restName
}

function startsAs(segments: readonly string[], sent: readonly string[]): boolean {
  const head = segments.slice(0, -1)
  return sent.length > segments.length && sent[head.length] !== '' && head.every((each, at) => fits(each, sent[at] ?? ''))
}

function parametersOf({ segments }: ApiPath, sent: readonly string[]): Record<string, string> {
  try {
    return Object.fromEntries(
      segments.flatMap((segment, at) => (isParameter(segment) ? [[segment.slice(1, -1), decodeURIComponent(sent[at] ?? '')]] : [])),
    )
  } catch (cause) {
    throw new RegistryError('requestInvalid', { message: 'the path holds a malformed percent sequence', cause })
  }
}
