/**
 * The one table of `/v2` endpoints, and the parser that turns a raw request path into one of them.
 *
 * Which handler answers is the server's business. Invariant: a path is split once, before decoding, and never normalised, so that what is
 * authorized is what is served. A name may contain `blobs` or `tags/list`: the keyword is looked for from the right.
 */
import { RegistryError } from './errors.ts'
import { parseRepositoryName, type RepositoryName } from './repository-name.ts'

export type EndpointMethod = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** What the caller must be allowed to do; `none` still asks for valid credentials where the registry needs them. */
export type EndpointAction = 'none' | 'pull' | 'push' | 'delete' | 'catalog'

export interface MethodRow {
  readonly action: EndpointAction
  /** One line for the documentation. */
  readonly summary: string
}

export interface EndpointRow {
  /** The path as documentation writes it. */
  readonly path: string
  /** The ids of the specification's endpoint table; empty for what it does not know. */
  readonly specIds: readonly string[]
  readonly methods: Readonly<Partial<Record<EndpointMethod, MethodRow>>>
}

export type EndpointName = 'base' | 'catalog' | 'extensions' | 'uploads' | 'upload' | 'blob' | 'manifest' | 'tags' | 'referrers'

const may = (action: EndpointAction, summary: string): MethodRow => ({ action, summary })

/** GET, and HEAD with the same status and headers and no body. */
const read = (action: EndpointAction, summary: string) => ({ GET: may(action, summary), HEAD: may(action, `${summary}: headers only`) })

/** Spec: distribution-spec v1.1.1, "Endpoints"; end-4c, end-7b and end-14 are of main at 967efdc. */
export const endpoints: Readonly<Record<EndpointName, EndpointRow>> = {
  base: { path: '/v2/', specIds: ['end-1'], methods: read('none', 'tell whether this is a registry, and ask for credentials') },
  catalog: { path: '/v2/_catalog', specIds: [], methods: read('catalog', 'list the repositories that the caller may pull') },
  extensions: { path: '/v2/_oci/ext/discover', specIds: [], methods: read('none', 'list the extensions of this registry') },
  uploads: {
    path: '/v2/<name>/blobs/uploads/',
    specIds: ['end-4a', 'end-4b', 'end-4c', 'end-11'],
    methods: { POST: may('push', 'start an upload, push a blob at once or mount one of another repository') },
  },
  upload: {
    path: '/v2/<name>/blobs/uploads/<session>',
    specIds: ['end-5', 'end-6', 'end-13', 'end-14'],
    methods: {
      ...read('push', 'tell how far an upload got'),
      PATCH: may('push', 'append bytes to an upload'),
      PUT: may('push', 'finish an upload'),
      DELETE: may('push', 'cancel an upload'),
    },
  },
  blob: {
    path: '/v2/<name>/blobs/<digest>',
    specIds: ['end-2', 'end-10'],
    methods: { ...read('pull', 'get a blob, whole or in ranges'), DELETE: may('delete', 'remove a blob from a repository') },
  },
  manifest: {
    path: '/v2/<name>/manifests/<reference>',
    specIds: ['end-3', 'end-7a', 'end-7b', 'end-9'],
    methods: {
      ...read('pull', 'get a manifest by tag or digest'),
      PUT: may('push', 'push a manifest and set its tags'),
      DELETE: may('delete', 'remove a tag, or a manifest and every tag on it'),
    },
  },
  tags: { path: '/v2/<name>/tags/list', specIds: ['end-8a', 'end-8b'], methods: read('pull', 'list the tags of a repository') },
  referrers: {
    path: '/v2/<name>/referrers/<digest>',
    specIds: ['end-12a', 'end-12b'],
    methods: read('pull', 'list the manifests that refer to a digest'),
  },
}

/** A request path as an endpoint and its arguments. Digest, reference and session are as sent, decoded: the use decides 400 or 404. */
export type RequestTarget =
  | { readonly endpoint: 'base' | 'catalog' | 'extensions' }
  | { readonly endpoint: 'uploads' | 'tags'; readonly name: RepositoryName }
  | { readonly endpoint: 'upload'; readonly name: RepositoryName; readonly session: string }
  | { readonly endpoint: 'blob' | 'referrers'; readonly name: RepositoryName; readonly digest: string }
  | { readonly endpoint: 'manifest'; readonly name: RepositoryName; readonly reference: string }

/** Where the name starts in a split path: after the empty segment and `v2`. */
const nameStart = 2

/**
 * The endpoint that a path names; `undefined` when it is none.
 *
 * @param rawPath the path as sent, without the query and before any decoding.
 * @throws {RegistryError} requestInvalid: a percent sequence is not hex or not UTF-8.
 * @throws {RegistryError} nameInvalid: the path has the shape of an endpoint but no valid repository name.
 * Spec: distribution-spec v1.1.1, "Endpoints".
 */
export function parseTarget(rawPath: string): RequestTarget | undefined {
  if (rawPath === '/v2/' || rawPath === '/v2') return { endpoint: 'base' }
  if (!rawPath.startsWith('/v2/')) return undefined
  const segments = rawPath.split('/')
  if (rawPath.includes('%')) decodeAll(segments)
  return findFixed(segments) ?? findUpload(segments) ?? findNamed(segments)
}

/** After splitting, so that an encoded slash never makes a new segment. */
function decodeAll(segments: string[]): void {
  try {
    for (const [index, segment] of segments.entries()) segments[index] = decodeURIComponent(segment)
  } catch (cause) {
    throw new RegistryError('requestInvalid', { message: 'the path holds a malformed percent sequence', cause })
  }
}

/** A name cannot start with `_`: these never clash with a repository. */
function findFixed(segments: readonly string[]): RequestTarget | undefined {
  if (segments.length === 3 && segments[2] === '_catalog') return { endpoint: 'catalog' }
  if (segments.length !== 5 || segments[2] !== '_oci') return undefined
  return segments[3] === 'ext' && segments[4] === 'discover' ? { endpoint: 'extensions' } : undefined
}

function findUpload(segments: readonly string[]): RequestTarget | undefined {
  const count = segments.length
  const session = segments[count - 1] ?? ''
  if (session === 'uploads' && segments[count - 2] === 'blobs' && count - 2 > nameStart) {
    return { endpoint: 'uploads', name: nameBefore(segments, count - 2) }
  }
  if (segments[count - 2] !== 'uploads' || segments[count - 3] !== 'blobs' || count - 3 <= nameStart) return undefined
  const name = nameBefore(segments, count - 3)
  return session === '' ? { endpoint: 'uploads', name } : { endpoint: 'upload', name, session }
}

function findNamed(segments: readonly string[]): RequestTarget | undefined {
  const keyword = segments.length - 2
  const last = segments[keyword + 1] ?? ''
  if (last === '' || keyword <= nameStart) return undefined
  switch (segments[keyword] ?? '') {
    case 'blobs':
      return { endpoint: 'blob', name: nameBefore(segments, keyword), digest: last }
    case 'manifests':
      return { endpoint: 'manifest', name: nameBefore(segments, keyword), reference: last }
    case 'tags':
      return last === 'list' ? { endpoint: 'tags', name: nameBefore(segments, keyword) } : undefined
    case 'referrers':
      return { endpoint: 'referrers', name: nameBefore(segments, keyword), digest: last }
    default:
      return undefined
  }
}

function nameBefore(segments: readonly string[], end: number): RepositoryName {
  const components = segments.slice(nameStart, end)
  // Joining would turn an encoded slash into a separator; every other bad character is refused by the grammar.
  if (components.some((component) => component.includes('/'))) throw new RegistryError('nameInvalid')
  return parseRepositoryName(components.join('/'))
}
