/** Folders of the campaign's backups. Apart, because the processes that are killed load no more than they need. */
import { dirname, join } from 'node:path'

/** Where a data folder's backup lies, and where it is restored to. */
export function recoveryPlaces(data: string): { backup: string; restored: string } {
  return { backup: join(dirname(data), 'backup'), restored: join(dirname(data), 'restored') }
}
