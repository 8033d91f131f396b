/**
 * The passwords that most people choose, and so everybody tries first. The list stands in common-passwords.txt, sorted, one a line,
 * where its source is named; it is read only when somebody chooses a password, and not kept.
 *
 * How the 3,000 are counted: by how often they stood among leaked ones, the letters in lower case, leaving out those that are too
 * short to be chosen here anyway. So they reach farther than the first 3,000 of a list of all.
 */
import { readFileSync } from 'node:fs'

const listFile = new URL('common-passwords.txt', import.meta.url)

/** Whether it is on the list, in whatever case its letters are. */
export function isCommonPassword(password: string): boolean {
  return readFileSync(listFile, 'utf8').includes(`\n${password.toLowerCase().normalize('NFC')}\n`)
}
