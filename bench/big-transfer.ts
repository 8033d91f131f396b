/**
 * Sending the large file to a registry, getting it back, and making room again; by curl, which costs little itself.
 */
import { readdirSync, rmSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import type { BigFile } from './big-file.ts'
import { setupClient, withDigest } from './client.ts'
import { runCurl } from './load-tools.ts'
import type { Processes } from './processes.ts'
import type { Server } from './server.ts'

const repository = 'bench/big'
const octets = ['-H', 'Content-Type: application/octet-stream']
/** Copies of the large file that must still fit on the disk before another one is sent. */
const spareCopies = 3

export interface BigTransfer {
  readonly processes: Processes
  readonly server: Server
  readonly bigFile: BigFile
}

/** A started upload of the file as it is now. */
export interface BigUpload {
  readonly location: string
  readonly digest: string
}

/** Changes the file and starts its upload. @throws when the disk is too full for it */
export async function startBigUpload({ server, bigFile }: BigTransfer): Promise<BigUpload> {
  const { bavail, bsize } = statfsSync(server.folder)
  const freeMib = Math.floor((bavail * bsize) / 1024 / 1024)
  if (freeMib < spareCopies * bigFile.sizeMib)
    throw new Error(`${freeMib} MiB are free in ${server.folder}: use another --folder, or a smaller --big`)
  const digest = bigFile.renew()
  const client = setupClient(server)
  const location = await client.startUpload(repository).finally(() => client.close())
  return { location: new URL(location, server.url).href, digest }
}

/** One PUT with all bytes. @returns the seconds it took */
export async function putBigFile({ processes, bigFile }: BigTransfer, { location, digest }: BigUpload): Promise<number> {
  const args = [...octets, '-T', bigFile.path]
  return (await runCurl(processes, withDigest(location, digest), { args, status: 201 })).seconds
}

/** A PATCH with all bytes, then a PUT without any. @returns the seconds they took */
export async function patchBigFile({ processes, server, bigFile }: BigTransfer, { location, digest }: BigUpload): Promise<number> {
  const patch = await runCurl(processes, location, { args: [...octets, '-X', 'PATCH', '-T', bigFile.path], status: 202 })
  const next = withDigest(new URL(patch.location ?? location, server.url).href, digest)
  const put = await runCurl(processes, next, { args: [...octets, '-X', 'PUT', '-H', 'Content-Length: 0'], status: 201 })
  return patch.seconds + put.seconds
}

/** @returns the seconds it took. */
export async function getBigFile({ processes, server }: BigTransfer, digest: string): Promise<number> {
  return (await runCurl(processes, `${server.url}/v2/${repository}/blobs/${digest}`, { args: ['-L'], status: 200 })).seconds
}

/** A registry keeps the bytes of a deleted blob until it collects them; the bench has no room to wait for that. */
export async function removeBigFile({ server }: BigTransfer, digest: string): Promise<void> {
  const client = setupClient(server)
  await client.expect(202, { method: 'DELETE', path: `/v2/${repository}/blobs/${digest}` }).finally(() => client.close())
  const hex = digest.slice(digest.indexOf(':') + 1)
  const files = readdirSync(server.folder, { recursive: true, encoding: 'utf8' }).filter((path) => path.includes(hex))
  for (const file of files) rmSync(join(server.folder, file), { recursive: true, force: true })
}
