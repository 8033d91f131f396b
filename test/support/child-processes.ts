/** The child processes of a process, as Linux lists them. */
import { readFileSync } from 'node:fs'

export function childrenOf(pid: number): number[] {
  const list = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return list
    .split(' ')
    .filter((each) => each !== '')
    .map(Number)
}
