/** The accounts in a data folder, made and read without the command line: what a test of commands starts from and looks at. */
import { Passwords } from '../../auth/passwords.ts'
import { addAccount, allAccounts } from '../../registry/accounts.ts'
import { DiskBlobStore } from '../../storage/blobs/disk-blob-store.ts'
import { dataLayout } from '../../storage/layout.ts'
import { Database } from '../../storage/metadata/database.ts'
import { migrate } from '../../storage/metadata/migrate.ts'
import { adminPassword } from './start-registry.ts'

/** Makes the folder ready, with an enabled administrator whose password is adminPassword. */
export async function addAdministrator(data: string, name: string): Promise<void> {
  const layout = dataLayout(data)
  await DiskBlobStore.prepare(layout)
  await migrate(layout, Date.now())
  const passwords = new Passwords({ cost: 4, concurrency: 1, queueLimit: 1, cacheTtlMs: 0, clock: Date.now })
  const passwordHash = await passwords.hash(adminPassword)
  await withDatabase(data, (database) => addAccount(database, { name, passwordHash, isAdmin: true, nowMs: Date.now() }))
}

/** Each as `alice admin disabled`, by name. */
export async function accountsIn(data: string): Promise<string[]> {
  return withDatabase(data, (database) =>
    Array.fromAsync(
      allAccounts(database),
      (row) => `${row.name} ${row.is_admin === 1 ? 'admin' : 'user'} ${row.is_disabled === 1 ? 'disabled' : 'enabled'}`,
    ),
  )
}

async function withDatabase<T>(data: string, work: (database: Database) => Promise<T>): Promise<T> {
  const database = Database.open(dataLayout(data).database)
  try {
    return await work(database)
  } finally {
    await database.close()
  }
}
