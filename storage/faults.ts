/**
 * Translates what the disk and the database report into the registry's reasons, at the place where it happens.
 *
 * A full disk is told apart from a failing one, because only the first is something that waiting and freeing space
 * repairs. Nothing else is swallowed: an error that is not known here passes through and becomes a 500.
 */
import { RegistryError } from '../oci/errors.ts'

const fullCodes = new Set(['ENOSPC', 'EDQUOT', 'SQLITE_FULL'])
const failedCodes = [
  'EIO',
  'EROFS',
  'EACCES',
  'EPERM',
  'EMFILE',
  'ENFILE',
  'SQLITE_IOERR',
  'SQLITE_READONLY',
  'SQLITE_CORRUPT',
  'SQLITE_CANTOPEN',
  'SQLITE_BUSY',
]

/** The error's system code, such as `ENOENT` or `SQLITE_FULL`. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/** The same error, or the RegistryError `storageFull` or `storageFailed` that it amounts to. */
export function translateFault(error: unknown): unknown {
  const code = systemCode(error)
  if (code === undefined) return error
  if (fullCodes.has(code)) return new RegistryError('storageFull', { cause: error })
  if (failedCodes.some((known) => code.startsWith(known))) return new RegistryError('storageFailed', { cause: error })
  return error
}

/** Runs `work` with its system errors translated. */
export async function withFaultsTranslated<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw translateFault(error)
  }
}
