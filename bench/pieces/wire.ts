/**
 * Bytes over the loopback: what the registry's process takes for one MiB that it sends or receives, beside the floor's.
 */
import { getBigFile, putBigFile, removeBigFile, startBigUpload, type BigTransfer } from '../big-transfer.ts'
import type { Piece, PieceGroup } from '../piece.ts'
import { floorTarget, ownTarget } from '../own-targets.ts'
import type { Bench } from '../row.ts'
import { Server } from '../server.ts'

export async function wirePieces(bench: Bench): Promise<PieceGroup> {
  const env = { WORKERS: '1' }
  const own = await Server.start(bench.processes, { target: { ...ownTarget, env }, access: 'open', folder: `${bench.folder}/wire-own` })
  const floor = await Server.start(bench.processes, {
    target: { ...floorTarget, env },
    access: 'open',
    folder: `${bench.folder}/wire-floor`,
  })
  return {
    title: 'bytes on the loopback, one process, per MiB',
    pieces: [...(await transfers(bench, own)), ...(await transfers(bench, floor))],
    close: async () => {
      await own.stop()
      await floor.stop()
    },
  }
}

async function transfers({ processes, bigFile }: Bench, server: Server): Promise<Piece[]> {
  const transfer: BigTransfer = { processes, bigFile, server }
  const kept = await startBigUpload(transfer)
  await putBigFile(transfer, kept)
  const piece = (title: string, measure: () => Promise<number>): Piece => ({
    title: `${server.target.name}: ${title}`,
    run: measure,
    measure: async () => (await server.guard(measure)) / bigFile.sizeMib,
  })
  const cpuOf = async (work: () => Promise<number>): Promise<number> => {
    const before = server.tree.cpuSeconds()
    await work()
    return server.tree.cpuSeconds() - before
  }
  const put = async (watch: (work: () => Promise<number>) => Promise<number>): Promise<number> => {
    const upload = await startBigUpload(transfer)
    const seconds = await watch(() => putBigFile(transfer, upload))
    await removeBigFile(transfer, upload.digest)
    return seconds
  }
  return [
    piece('sent, time', () => getBigFile(transfer, kept.digest)),
    piece('sent, CPU', () => cpuOf(() => getBigFile(transfer, kept.digest))),
    piece('received durably, time', () => put((work) => work())),
    piece('received durably, CPU', () => put(cpuOf)),
  ]
}
