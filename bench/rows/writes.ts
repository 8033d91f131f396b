/**
 * Small durable writes: blobs of 10 KiB one by one and 16 at once, and tags.
 */
import { randomBytes } from 'node:crypto'
import { clientAuthorization, RegistryClient, setupClient, sha256 } from '../client.ts'
import { forEachAtOnce, repeatFor } from '../repetition.ts'
import { measure, type Row, type Subject } from '../row.ts'
import { layerBytes, pushSampleImage } from '../sample-image.ts'
import { summarizeDurations } from '../summary.ts'

export function writeRows(): Row[] {
  const row = { group: 'writes', better: 'more', tools: ['sync'] } as const
  const blobs = { ...row, unit: 'uploads/s', operation: 'upload' } as const
  return [
    {
      ...blobs,
      ...asOpen,
      id: 'small-uploads',
      title: 'upload of 10 KiB: POST, PUT, one by one',
      prepare: async (subject) => smallUploads(subject, 1),
    },
    { ...blobs, ...asOpen, id: 'small-uploads-16', title: 'the same, 16 at once', prepare: async (subject) => smallUploads(subject, 16) },
    {
      ...blobs,
      ...asLogin,
      id: 'small-uploads-16-login',
      title: 'the same, 16 at once, signed in as clients do',
      prepare: async (subject) => smallUploads(subject, 16),
    },
    { ...row, ...asOpen, id: 'tag-put', title: 'PUT of a tag', unit: 'tags/s', operation: 'tag', prepare: putTags },
  ]
}

const asOpen = { capability: 'content', access: 'open' } as const
const asLogin = { capability: 'login', access: 'login' } as const
const repository = 'bench/small'

function smallUploads({ bench, server }: Subject, width: number) {
  return async () => {
    const contents = Array.from({ length: bench.amounts.smallBlobs }, () => randomBytes(layerBytes))
    const digests = contents.map(sha256)
    const authorization = server.access === 'login' ? await clientAuthorization(server.port, repository) : undefined
    const client = new RegistryClient({ port: server.port, authorization, connections: width })
    await bench.processes.run('sync', [])
    const sample = await measure(server, async () => {
      const begun = performance.now()
      await forEachAtOnce(contents.length, width, (index) => client.pushBlob(repository, contents[index] ?? Buffer.of(), digests[index]))
      return { value: (contents.length * 1000) / (performance.now() - begun), operations: contents.length }
    })
    client.close()
    return sample
  }
}

async function putTags(subject: Subject) {
  const { bench, server } = subject
  const client = setupClient(subject.server)
  const image = await pushSampleImage(client, 'bench/tagged').finally(() => client.close())
  return (run: number) => {
    const client = setupClient(subject.server)
    const put = (index: number) => client.putManifest(image.repository, `run${run}-${index}`, image.manifest)
    return measure(server, async () => summarizeDurations(await repeatFor({ seconds: bench.amounts.seconds, atLeast: 1 }, put))).finally(
      () => client.close(),
    )
  }
}
