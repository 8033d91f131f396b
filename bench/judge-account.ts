/**
 * Creates the administrator that load tests and acceptance suites sign in as, past the rule on password length, which is
 * for people. Only bench/target.sh calls it; the registry itself has no such door.
 */
import bcrypt from 'bcrypt'
import { addAccount, updateAccount } from '../registry/accounts.ts'
import { loadSettings } from '../server/config/load.ts'
import { prepareDataFolder } from '../server/prepare.ts'
import { DataFolderLock } from '../storage/data-folder-lock.ts'
import { dataLayout } from '../storage/layout.ts'
import { Database } from '../storage/metadata/database.ts'

const [name = '', password = ''] = process.argv.slice(2)
const { settings } = loadSettings({ env: process.env, flags: {} })
const layout = dataLayout(settings.data)
const lock = DataFolderLock.acquire(layout, 'bench/judge-account.ts')
try {
  await prepareDataFolder(settings, Date.now)
  const database = Database.open(layout.database)
  const passwordHash = await bcrypt.hash(password, settings.auth.bcryptCost)
  await addAccount(database, { name, passwordHash, isAdmin: true, nowMs: Date.now() }).catch(() =>
    updateAccount(database, name, { passwordHash, isAdmin: true }),
  )
  await database.close()
} finally {
  lock.release()
}
