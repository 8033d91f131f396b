/**
 * The floor: what node:http itself takes for a registry's work. It sends a fixed manifest and the bytes of files, receives, hashes,
 * writes and syncs uploads, and appends a synced record for a tag. No names are checked, nobody is asked who they are, there are no
 * rows, no log and no metrics: what a real registry adds to these figures is the price of being one.
 *
 * It shares no code with the registry, so that it cannot share its mistakes. Paths are looked at only as far as this work needs.
 */
import cluster from 'node:cluster'
import { createHash, randomUUID } from 'node:crypto'
import {
  close,
  closeSync,
  constants,
  existsSync,
  fdatasync,
  fstatSync,
  fsync,
  open,
  openSync,
  read,
  readFileSync,
  rename,
  rm,
  statSync,
  write,
  writeFileSync,
  writev,
} from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { availableParallelism } from 'node:os'
import { promisify } from 'node:util'

const inPool = {
  open: promisify(open),
  close: promisify(close),
  read: promisify(read),
  write: promisify(write),
  writev: promisify(writev),
  sync: promisify(fsync),
  syncData: promisify(fdatasync),
  rename: promisify(rename),
  remove: promisify(rm),
}

const mib = 1024 * 1024
const batchBytes = 512 * 1024
const octets = 'application/octet-stream'
const manifestType = 'application/vnd.oci.image.manifest.v1+json'

interface Store {
  readonly root: string
  /** Tags are appended here. */
  readonly log: number
  readonly folder: number
  /** The one manifest there is, once it was pushed. */
  manifest: { readonly bytes: Buffer; readonly digest: string } | undefined
}

type Reply = (status: number, headers: Record<string, string>, body?: Buffer) => void

async function answer(store: Store, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const url = req.url ?? ''
  const reply: Reply = (status, headers, body) => {
    res.writeHead(status, { 'Content-Length': String(body?.length ?? 0), ...headers })
    res.end(body)
  }
  if (url === '/v2/') return reply(200, { 'Content-Type': 'application/json' }, Buffer.from('{}'))
  if (url.includes('/manifests/')) return answerManifest(store, req, reply)
  if (url.includes('/blobs/uploads/')) return answerUpload(store, req, reply)
  return answerBlob(store, req, res)
}

async function answerManifest(store: Store, req: IncomingMessage, reply: Reply): Promise<void> {
  if (req.method === 'PUT') {
    const body = Buffer.concat((await req.toArray()) as Buffer[])
    const digest = digestOf(body)
    store.manifest ??= firstManifest(store, body)
    await inPool.write(store.log, `${req.url} ${digest}\n`)
    await inPool.syncData(store.log)
    return reply(201, { Location: req.url ?? '', 'Docker-Content-Digest': digest })
  }
  store.manifest ??= firstManifest(store)
  const { bytes, digest } = store.manifest
  reply(200, { 'Content-Type': manifestType, 'Docker-Content-Digest': digest }, bytes)
}

/** The one that any of the processes was given first. @param pushed becomes it when there is none */
function firstManifest({ root }: Store, pushed?: Buffer): NonNullable<Store['manifest']> {
  const path = `${root}/manifest.json`
  if (pushed && !existsSync(path)) writeFileSync(path, pushed)
  const bytes = readFileSync(path)
  return { bytes, digest: digestOf(bytes) }
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

async function answerBlob(store: Store, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const url = req.url ?? ''
  const path = `${store.root}/blobs/${url.slice(url.lastIndexOf(':') + 1)}`
  if (req.method === 'DELETE') {
    await inPool.remove(path)
    res.writeHead(202, { 'Content-Length': '0' }).end()
    return
  }
  if (req.method === 'HEAD') {
    res.writeHead(200, { 'Content-Type': octets, 'Content-Length': String(statSync(path).size) }).end()
    return
  }
  const file = openSync(path, 'r')
  try {
    const { size } = fstatSync(file)
    res.writeHead(200, { 'Content-Type': octets, 'Content-Length': String(size) })
    await send(res, file, size)
    res.end()
  } finally {
    closeSync(file)
  }
}

/** Two buffers, one read while the other is written. */
async function send(res: ServerResponse, file: number, size: number): Promise<void> {
  const buffers = [Buffer.allocUnsafeSlow(Math.min(size, mib)), Buffer.allocUnsafeSlow(Math.min(Math.max(size - mib, 0), mib))]
  let writing: Promise<void> = Promise.resolve()
  for (let position = 0, turn = 0; position < size; turn++) {
    const buffer = buffers[turn % 2] ?? Buffer.of()
    const { bytesRead } = await inPool.read(file, buffer, 0, Math.min(buffer.length, size - position), position)
    if (bytesRead === 0) throw new Error('the file ended early')
    position += bytesRead
    await writing
    writing = new Promise((resolve, reject) => res.write(buffer.subarray(0, bytesRead), (error) => (error ? reject(error) : resolve())))
  }
  await writing
}

/** The digest so far travels in the location, so that any process can finish what another has received. */
async function answerUpload(store: Store, req: IncomingMessage, reply: Reply): Promise<void> {
  const url = new URL(req.url ?? '', 'http://floor')
  if (req.method === 'POST') return reply(202, { Location: `${url.pathname}${randomUUID()}` })
  const path = `${store.root}/uploads/${url.pathname.slice(url.pathname.lastIndexOf('/') + 1)}`
  const file = await inPool.open(path, constants.O_RDWR | constants.O_CREAT, 0o600)
  const state = url.searchParams.get('state')
  const hex = req.headers['content-length'] === '0' && state !== null ? state : await receive(req, file)
  if (req.method === 'PATCH') {
    await inPool.close(file)
    return reply(202, { Location: `${url.pathname}?state=${hex}` })
  }
  const digest = url.searchParams.get('digest') ?? ''
  if (digest !== `sha256:${hex}`) return reply(400, {})
  await inPool.sync(file)
  await inPool.close(file)
  await inPool.rename(path, `${store.root}/blobs/${hex}`)
  await inPool.sync(store.folder)
  reply(201, { Location: `/v2/floor/blobs/${digest}` })
}

/** Writes one batch while the next is received and hashed. @returns the digest's hex */
async function receive(req: IncomingMessage, file: number): Promise<string> {
  const hash = createHash('sha256')
  let writing: Promise<void> = Promise.resolve()
  let batch: Buffer[] = []
  let batched = 0
  let position = 0
  const writeBatch = async (chunks: Buffer[], at: number): Promise<void> => {
    if (chunks.length > 0) await inPool.writev(file, chunks, at)
    // Handed back at once: left to the garbage collector they cost more than their hash.
    for (const { buffer, byteLength } of chunks) if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0)
  }
  for await (const chunk of req as AsyncIterable<Buffer>) {
    hash.update(chunk)
    batch.push(chunk)
    batched += chunk.length
    if (batched < batchBytes) continue
    await writing
    writing = writeBatch(batch, position)
    position += batched
    batch = []
    batched = 0
  }
  await writing
  await writeBatch(batch, position)
  return hash.digest('hex')
}

function serve(): void {
  const root = process.env['DATA'] ?? ''
  const store: Store = {
    root,
    log: openSync(`${root}/tags.log`, 'a'),
    folder: openSync(`${root}/blobs`, 'r'),
    manifest: undefined,
  }
  const server = createServer({ keepAliveTimeout: 130_000, requestTimeout: 0, noDelay: true }, (req, res) => {
    answer(store, req, res).catch((error: unknown) => {
      process.stderr.write(`${String(error)}\n`)
      res.destroy()
    })
  })
  server.listen({ host: '127.0.0.1', port: Number(process.env['PORT']), backlog: 2048 })
}

if (cluster.isPrimary) {
  const workers = Number(process.env['WORKERS'] ?? availableParallelism())
  for (let count = 0; count < workers; count++) cluster.fork({ UV_THREADPOOL_SIZE: '16' })
  process.once('SIGTERM', () => {
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill('SIGTERM')
    process.exit(0)
  })
} else {
  serve()
}
