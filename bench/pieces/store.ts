/**
 * The rows: look-ups on the path of every request in the three ways there are, and commits with and without the disk.
 */
import { parseTag } from '../../oci/reference.ts'
import { dataLayout } from '../../storage/layout.ts'
import { linkedBlob, putBlob } from '../../storage/metadata/blobs.ts'
import { Database } from '../../storage/metadata/database.ts'
import { manifestByTag } from '../../storage/metadata/manifests.ts'
import { repositoryByName } from '../../storage/metadata/repositories.ts'
import { listTags } from '../../storage/metadata/tags.ts'
import type { Writer } from '../../storage/metadata/schema.ts'
import { filledDigest, filledRepository, filledTag, fillStore } from '../fill.ts'
import type { Piece, PieceGroup } from '../piece.ts'

const filling = { namespace: 'micro', repositories: 1000, tagsPerRepository: 100, blobs: 10_000 }
const commitsAtOnce = 16

export async function storePieces(folder: string): Promise<PieceGroup> {
  await fillStore(folder, filling)
  const database = Database.open(dataLayout(folder).database)
  return { title: 'rows', pieces: [...(await lookUps(database)), ...commits(database)], close: () => database.close() }
}

async function lookUps(database: Database): Promise<Piece[]> {
  const { read } = database
  const prepared = {
    repository: database.prepare(repositoryByName),
    manifest: database.prepare(manifestByTag),
    blob: database.prepare(linkedBlob),
  }
  const indices = Array.from({ length: filling.repositories }, (_, index) => index)
  const repositories = await Promise.all(
    indices.map(async (index) => {
      const name = filledRepository(filling, index)
      const id = (await prepared.repository({ name }))?.id ?? 0
      const blob = { repositoryId: id, digest: filledDigest(filling, (index * filling.blobs) / filling.repositories) }
      return { name, blob, manifest: { repositoryId: id, tag: parseTag(filledTag(index % filling.tagsPerRepository)) } }
    }),
  )
  let turn = 0
  // Another repository each time, far from the last one.
  const next = () => repositories[(turn = (turn + 389) % repositories.length)] ?? unreachable()
  return [
    { title: 'repository by name, prepared', run: () => prepared.repository({ name: next().name }) },
    { title: 'repository by name, as a statement through Kysely', run: () => repositoryByName.first(read, { name: next().name }) },
    {
      title: 'repository by name, built by Kysely each time',
      run: () => read.selectFrom('repository').selectAll().where('name', '=', next().name).executeTakeFirst(),
    },
    { title: 'manifest by tag, prepared', run: () => prepared.manifest(next().manifest) },
    { title: 'linked blob, prepared', run: () => prepared.blob(next().blob) },
    { title: 'page of 100 tags', run: () => listTags(read, { repositoryId: next().blob.repositoryId, after: undefined, limit: 100 }) },
  ]
}

function commits(database: Database): Piece[] {
  const digests = Array.from({ length: filling.blobs }, (_, index) => filledDigest(filling, index))
  let turn = 0
  const renew = (tx: Writer) => putBlob(tx, { digest: digests[turn++ % digests.length] ?? unreachable(), sizeBytes: 1024, nowMs: turn })
  return [
    { title: 'commit of one row, not synced', run: () => database.writeRelaxed(renew) },
    { title: 'commit of one row, durable', run: () => database.write(renew) },
    {
      title: `commit of one row, durable, ${commitsAtOnce} at once`,
      times: commitsAtOnce,
      run: () => Promise.all(Array.from({ length: commitsAtOnce }, () => database.write(renew))),
    },
  ]
}

function unreachable(): never {
  throw new Error('an index ran out of its list')
}
