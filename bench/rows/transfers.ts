/**
 * Large blobs: one download, four at once, an upload in POST, PATCH and PUT, and one in POST and PUT.
 */
import { getBigFile, patchBigFile, putBigFile, removeBigFile, startBigUpload, type BigTransfer, type BigUpload } from '../big-transfer.ts'
import { measure, type Row, type Run, type Subject } from '../row.ts'

/** @param bigMib the size that the titles tell */
export function transferRows(bigMib: number): Row[] {
  const size = bigMib % 1024 === 0 ? `${bigMib / 1024} GiB` : `${bigMib} MiB`
  const transfer = (row: Pick<Row, 'id' | 'title' | 'prepare'>): Row => ({
    group: 'transfers',
    capability: 'content',
    access: 'open',
    tools: ['curl', 'sync'],
    unit: 'MiB/s',
    better: 'more',
    operation: size,
    ...row,
  })
  return [
    transfer({
      id: 'big-upload-patch',
      title: `upload of ${size}: POST, PATCH, PUT`,
      prepare: async (subject) => uploads(subject, patchBigFile),
    }),
    transfer({ id: 'big-upload-put', title: `upload of ${size}: POST, PUT`, prepare: async (subject) => uploads(subject, putBigFile) }),
    transfer({ id: 'big-blob', title: `GET blob of ${size}`, prepare: (subject) => downloads(subject, 1) }),
    transfer({ id: 'big-blob-x4', title: `GET blob of ${size}, four at once`, prepare: (subject) => downloads(subject, 4) }),
  ]
}

async function downloads(subject: Subject, width: number): Promise<Run> {
  const { bench, server } = subject
  const transfer = transferOf(subject)
  const upload = await startBigUpload(transfer)
  await putBigFile(transfer, upload)
  await bench.processes.run('sync', [])
  return () =>
    measure(server, async () => {
      const begun = performance.now()
      const each = await Promise.all(Array.from({ length: width }, () => getBigFile(transfer, upload.digest)))
      // Alone it is as fast as curl says; together they are as fast as all of them, the starts of curl included.
      const seconds = width === 1 ? (each[0] ?? 0) : (performance.now() - begun) / 1000
      return { value: (width * bench.amounts.bigMib) / seconds, operations: width }
    })
}

function uploads(subject: Subject, send: (transfer: BigTransfer, upload: BigUpload) => Promise<number>): Run {
  const { bench, server } = subject
  const transfer = transferOf(subject)
  return async () => {
    const upload = await startBigUpload(transfer)
    // What was written before must not be on its way to the disk while this is measured.
    await bench.processes.run('sync', [])
    const sample = await measure(server, async () => {
      const seconds = await send(transfer, upload)
      return { value: bench.amounts.bigMib / seconds, operations: 1 }
    })
    await removeBigFile(transfer, upload.digest)
    return sample
  }
}

function transferOf({ bench, server }: Subject): BigTransfer {
  return { processes: bench.processes, bigFile: bench.bigFile, server }
}
