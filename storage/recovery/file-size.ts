/** How large a file is, where there is one. */
import { stat } from 'node:fs/promises'
import { systemCode } from '../faults.ts'

/** In bytes; undefined: there is none. */
export async function sizeOf(path: string): Promise<number | undefined> {
  try {
    const found = await stat(path)
    return found.isFile() ? found.size : undefined
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return undefined
    throw error
  }
}
