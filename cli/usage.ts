/**
 * What a repository or a namespace takes, as the commands show it.
 */
import type { Usage } from '../server/api/usage.ts'

/** Names and values, for a table. */
export function usageRows({ bytes, blobs, manifests, sharing }: Usage): [string, string][] {
  const rows: [string, number][] = [
    ['bytes', bytes],
    ['blobs', blobs],
    ['manifests', manifests],
    ...(sharing
      ? ([
          ['shared bytes', sharing.sharedBytes],
          ['freed if deleted', sharing.uniqueBytes],
        ] as [string, number][])
      : []),
  ]
  return rows.map(([name, value]) => [name, String(value)])
}

/** What comes back, as the end of a sentence on a removal; empty for who may not know. */
export function freedInWords({ sharing }: Usage): string {
  return sharing ? `; that frees ${sharing.uniqueBytes} bytes, which nobody else has, when it is out of the trash` : ''
}
