/** The step that brings the accounting: what was there before it is counted, as if it had been all along. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import Sqlite from 'better-sqlite3'
import { migrate, readMigrations } from '../../storage/metadata/migrate.ts'
import { countMiscounted } from '../../storage/recovery/recount-usage.ts'
import { emptyDataFolder } from '../support/data-folder.ts'

test('what is linked, shared and in the trash is counted for its repository and its namespace', async (t) => {
  const layout = emptyDataFolder(t)
  await migrate(layout, 1, readMigrations().slice(0, 6))
  const sqlite = new Sqlite(layout.database)
  t.after(() => sqlite.close())
  sqlite.exec(`
    insert into namespace (id, name, created_at_ms) values (1, 'one', 1), (2, 'two', 1);
    insert into repository (id, name, namespace, visibility, created_at_ms) values
      (1, 'one/a', 'one', 'private', 1), (2, 'one/b', 'one', 'private', 1), (3, 'two/a', 'two', 'private', 1),
      (4, '~4', '~', 'private', 1), (5, '~5', '~', 'private', 1);
    insert into trash_item (kind, repository, namespace, repository_id, holder_id, deleted_at_ms) values
      ('repository', 'two/gone', 'two', 4, 4, 1), ('repository', 'three/gone', '', 5, 5, 1);
    insert into blob values ('of one repository', 1, 1, 1), ('of one namespace', 20, 1, 1), ('of all', 300, 1, 1), ('of the trash', 4000, 1, 1);
    insert into blob_link values (1, 'of one repository', 1), (1, 'of one namespace', 1), (2, 'of one namespace', 1),
      (1, 'of all', 1), (3, 'of all', 1), (4, 'of all', 1), (4, 'of the trash', 1), (5, 'of all', 1);
    insert into manifest (repository_id, digest, media_type, size_bytes, pushed_at_ms, content) values
      (1, 'm', 'a/b', 7, 1, x'00'), (2, 'm', 'a/b', 7, 1, x'00'), (4, 'm', 'a/b', 7, 1, x'00');
  `)
  await migrate(layout, 2)
  const rows = (table: string) => sqlite.prepare(`select * from ${table} order by 1`).raw().all()
  assert.deepEqual(rows('repository_usage'), [
    [1, 3, 321, 1, 1, 1, 7],
    [2, 1, 20, 0, 0, 1, 7],
    [3, 1, 300, 0, 0, 0, 0],
    [4, 2, 4300, 1, 4000, 1, 7],
    [5, 1, 300, 0, 0, 0, 0],
  ])
  assert.deepEqual(rows('namespace_usage'), [
    [0, 1, 300, 0, 0, 0, 0],
    [1, 3, 321, 2, 21, 2, 14],
    [2, 2, 4300, 1, 4000, 1, 7],
  ])
  assert.deepEqual(sqlite.prepare('select linked_at_ms, count(*) from blob_link').raw().get(), [1, 8])
  assert.equal(countMiscounted(layout.database), 0)
  sqlite.exec('update repository_usage set blob_bytes = 0 where repository_id = 1; delete from namespace_usage where namespace_id = 2')
  assert.equal(countMiscounted(layout.database), 2)
})
