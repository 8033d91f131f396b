/**
 * Databases as every earlier version of this program left them, and what of them an upgrade must keep: the columns that the first version
 * had.
 */
import Sqlite from 'better-sqlite3'
import type { DataLayout } from '../../storage/layout.ts'
import { migrate, readMigrations } from '../../storage/metadata/migrate.ts'
import { sha256 } from './random.ts'

/** Enough pages that a snapshot takes a while. */
const manifests = 60
const layer = sha256(Buffer.from('a layer'))

/** A database of a schema, with an image of each kind of row. @param version from 1 to that of this program */
export async function makeOldDatabase(layout: DataLayout, version: number): Promise<void> {
  await migrate(layout, Date.now(), readMigrations().slice(0, version))
  const sqlite = new Sqlite(layout.database)
  try {
    sqlite.transaction(() => fill(sqlite))()
  } finally {
    sqlite.close()
  }
}

function fill(sqlite: Sqlite.Database): void {
  const insert = (table: string, row: Readonly<Record<string, string | number | Buffer>>) => {
    const names = Object.keys(row)
    sqlite.prepare(`insert into ${table} (${names.join()}) values (${names.map(() => '?').join()})`).run(...Object.values(row))
  }
  insert('account', { name: 'alice', password_hash: 'a hash', is_admin: 1, created_at_ms: 1 })
  insert('repository', { id: 1, name: 'team/app', namespace: 'team', visibility: 'private', created_at_ms: 1 })
  insert('blob', { digest: layer, size_bytes: 7, stored_at_ms: 1, leased_at_ms: 1 })
  const isNumbered = sqlite.prepare("select 1 from pragma_table_info('blob_link') where name = 'namespace_id'").get() !== undefined
  insert('blob_link', { repository_id: 1, digest: layer, linked_at_ms: 1, ...(isNumbered && { namespace_id: 0 }) })
  for (let index = 0; index < manifests; index++) {
    const content = Buffer.alloc(8_000, `manifest ${index} `)
    const of = { repository_id: 1, digest: sha256(content) }
    const type = 'application/vnd.oci.image.manifest.v1+json'
    insert('manifest', { ...of, media_type: type, size_bytes: content.length, pushed_at_ms: index, content })
    insert('reference', { repository_id: 1, manifest_digest: of.digest, digest: layer, role: 'layer' })
    insert('tag', { ...of, name: `v${index}`, since_ms: index })
  }
}

/** A digest of what must be kept, whatever an upgrade added; a reason when the file is no sound database. */
export function keptOf(path: string): string {
  const sqlite = new Sqlite(path)
  try {
    const sound = sqlite.prepare<[], string>('pragma integrity_check').pluck().get()
    const broken = sqlite.prepare('pragma foreign_key_check').all().length
    const stored = sqlite.prepare<[], { digest: string; content: Buffer }>('select digest, content from manifest order by digest').all()
    const isWhole = stored.every(({ digest, content }) => sha256(content) === digest)
    const questions = [
      'select name, is_admin from account order by name',
      'select name, visibility from repository order by name',
      'select digest, size_bytes from blob order by digest',
      'select repository_id, digest, linked_at_ms from blob_link order by repository_id, digest',
      'select digest, media_type, size_bytes, pushed_at_ms from manifest order by digest',
      'select * from reference order by manifest_digest',
      'select name, digest, since_ms, until_ms from tag order by name',
    ]
    return sha256(Buffer.from(JSON.stringify([sound, broken, isWhole, ...questions.map((question) => sqlite.prepare(question).all())])))
  } catch (error) {
    return String(error)
  } finally {
    sqlite.close()
  }
}
