/** Which files this process has open, as Linux tells it: the way to see that a download has let go of its blob. */
import { readdir, readlink } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'

const deadlineMs = 20_000
const pollMs = 5

/** How many open files of this process lie below a folder. */
export async function countOpenFiles(folder: string): Promise<number> {
  const descriptors = await readdir('/proc/self/fd')
  // One may be closed between the listing and the look; then it is not open.
  const paths = await Promise.all(descriptors.map((each) => readlink(`/proc/self/fd/${each}`).catch(() => '')))
  return paths.filter((path) => path.startsWith(folder)).length
}

/** Resolves when no file below the folder is open. @throws when one still is at the deadline. */
export async function untilFilesAreClosed(folder: string): Promise<void> {
  const giveUpAt = performance.now() + deadlineMs
  for (;;) {
    const open = await countOpenFiles(folder)
    if (open === 0) return
    if (performance.now() > giveUpAt) throw new Error(`${open} files stay open below ${folder}`)
    await pause(pollMs)
  }
}
