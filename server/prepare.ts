/**
 * Makes a data folder ready before anything serves from it: folders, schema, signing key, first administrator.
 *
 * Runs in one process, under the folder's lock. Safe to run again at every start, and after a crash at any point.
 */
import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { createSigningKey, listSigningKeys } from '../auth/signing-keys.ts'
import { newPasswordFault, Passwords } from '../auth/passwords.ts'
import { RegistryError } from '../oci/errors.ts'
import { addFirstAdministrator } from '../registry/accounts.ts'
import { DiskBlobStore } from '../storage/blobs/disk-blob-store.ts'
import { dataLayout, type DataLayout } from '../storage/layout.ts'
import { hasAccounts } from '../storage/metadata/accounts.ts'
import { Database } from '../storage/metadata/database.ts'
import { migrate, type MigrationReport } from '../storage/metadata/migrate.ts'
import type { Settings } from './config/settings.ts'

export const firstAdministrator = 'admin'

export interface Preparation {
  readonly migration: MigrationReport
  /** Present when the first administrator was created; the password only if it was made up here, to be shown once. */
  readonly administrator: { readonly madePassword: string | undefined } | undefined
}

export async function prepareDataFolder(settings: Settings, clock: () => number): Promise<Preparation> {
  const layout = dataLayout(settings.data)
  await DiskBlobStore.prepare(layout)
  const migration = await migrate(layout, clock())
  await prepareKeys(layout, clock)
  return { migration, administrator: await prepareAdministrator(settings, layout, clock()) }
}

async function prepareKeys(layout: DataLayout, clock: () => number): Promise<void> {
  await mkdir(layout.keys, { recursive: true, mode: 0o700 })
  const keys = await listSigningKeys(layout.keys)
  if (keys.length === 0) await createSigningKey(layout.keys, clock)
}

async function prepareAdministrator(settings: Settings, layout: DataLayout, nowMs: number): Promise<Preparation['administrator']> {
  const database = Database.open(layout.database)
  try {
    if (await hasAccounts(database.read)) return undefined
    const password = chosenPassword(settings) ?? randomBytes(15).toString('base64url')
    const passwords = new Passwords({ cost: settings.auth.bcryptCost, concurrency: 1, queueLimit: 1, cacheTtlMs: 0, clock: () => nowMs })
    const passwordHash = await passwords.hash(password)
    const isNew = await addFirstAdministrator(database, { name: firstAdministrator, passwordHash, isAdmin: true, nowMs })
    return isNew ? { madePassword: settings.admin.password === undefined ? password : undefined } : undefined
  } finally {
    await database.close()
  }
}

/** @throws {RegistryError} parameterInvalid: it is set, and no password that an account may get */
function chosenPassword({ admin: { password } }: Settings): string | undefined {
  const fault = password === undefined ? undefined : newPasswordFault(password, firstAdministrator)
  if (fault !== undefined) throw new RegistryError('parameterInvalid', { message: `admin.password cannot be used: ${fault}` })
  return password
}
