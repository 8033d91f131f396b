/**
 * Many small reads at once: manifests by tag and digest, the presence of a blob, a small blob.
 */
import { basicAuthorization, findBearer, manifestType, setupClient } from '../client.ts'
import { runAb, runWrk, type Load } from '../load-tools.ts'
import { measure, workOf, type Row, type Subject } from '../row.ts'
import { pushSampleImage, type SampleImage } from '../sample-image.ts'

type Credentials = 'anonymous' | 'basic' | 'bearer'

interface Read {
  readonly id: string
  readonly title: string
  readonly credentials: Credentials
  readonly method: 'GET' | 'HEAD'
  readonly pathOf: (image: SampleImage) => string
}

const byTag = ({ repository, tag }: SampleImage): string => `/v2/${repository}/manifests/${tag}`
const byDigest = ({ repository, manifestDigest }: SampleImage): string => `/v2/${repository}/manifests/${manifestDigest}`
const blob = ({ repository, layer }: SampleImage): string => `/v2/${repository}/blobs/${layer}`

const reads: readonly Read[] = [
  { id: 'manifest-by-tag', title: 'GET manifest by tag', credentials: 'anonymous', method: 'GET', pathOf: byTag },
  { id: 'manifest-by-digest', title: 'GET manifest by digest', credentials: 'anonymous', method: 'GET', pathOf: byDigest },
  { id: 'manifest-by-tag-basic', title: 'GET manifest by tag, Basic', credentials: 'basic', method: 'GET', pathOf: byTag },
  { id: 'manifest-by-digest-basic', title: 'GET manifest by digest, Basic', credentials: 'basic', method: 'GET', pathOf: byDigest },
  { id: 'manifest-by-tag-bearer', title: 'GET manifest by tag, Bearer', credentials: 'bearer', method: 'GET', pathOf: byTag },
  { id: 'blob-head', title: 'HEAD blob', credentials: 'anonymous', method: 'HEAD', pathOf: blob },
  { id: 'blob-head-basic', title: 'HEAD blob, Basic', credentials: 'basic', method: 'HEAD', pathOf: blob },
  { id: 'blob-head-bearer', title: 'HEAD blob, Bearer', credentials: 'bearer', method: 'HEAD', pathOf: blob },
  { id: 'small-blob', title: 'GET blob of 10 KiB', credentials: 'anonymous', method: 'GET', pathOf: blob },
]

export function readRows(): Row[] {
  return reads.map((read) => ({
    id: read.id,
    title: read.title,
    group: 'reads',
    capability: read.credentials === 'anonymous' ? 'content' : 'login',
    access: read.credentials === 'anonymous' ? 'open' : 'login',
    tools: [read.method === 'GET' ? 'wrk' : 'ab'],
    unit: 'req/s',
    better: 'more',
    operation: 'request',
    prepare: async (subject) => {
      const image = await pushOnce(subject)
      const authorization = await authorizationFor(subject, read.credentials, image.repository)
      if (authorization === undefined) return undefined
      const headers = { Accept: manifestType, ...authorization }
      const load = (seconds: number): Promise<Load> => {
        const { processes, folder } = subject.bench
        const options = { url: `${subject.server.url}${read.pathOf(image)}`, seconds, headers }
        return read.method === 'GET' ? runWrk(processes, options) : runAb(processes, { ...options, folder })
      }
      // Not counted: what is compiled while it runs, and caches, are warm in every counted run of every target.
      await load(1)
      return () => measure(subject.server, async () => workOf(await load(subject.bench.amounts.seconds)))
    },
  }))
}

async function pushOnce(subject: Subject): Promise<SampleImage> {
  const client = setupClient(subject.server)
  return pushSampleImage(client).finally(() => client.close())
}

/** Undefined when the server does not offer this way to sign in. */
async function authorizationFor(
  { server }: Subject,
  credentials: Credentials,
  repository: string,
): Promise<Readonly<Record<string, string>> | undefined> {
  if (credentials === 'anonymous') return {}
  const authorization = credentials === 'basic' ? basicAuthorization : await findBearer(server.port, repository)
  return authorization === undefined ? undefined : { Authorization: authorization }
}
