/**
 * How the campaign tells processes at which moment to die, and how they tell that they do: two kinds of files in one control folder.
 *
 * Invariant: an arm kills once, in whichever process reaches its moment first. It stands in a file of fixed length that is
 * written and read in one piece, so that arming a server costs it nothing and reading costs a process microseconds.
 */
import { closeSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'

/** What ends: the process that reaches the moment, the primary above it, or all at once as a power button ends processes. */
export type Target = 'self' | 'primary' | 'group'

export interface Arm {
  readonly id: number
  readonly moment: string
  /** At which occurrence within one process; in bytes for the moments that count bytes. */
  readonly nth: number
  readonly target: Target
}

const armBytes = 256

function armPath(control: string): string {
  return join(control, 'arm')
}

function firedPath(control: string, id: number): string {
  return join(control, `fired-${id}`)
}

/** Makes the file that processes look at; nothing is armed. */
export function prepareArm(control: string): void {
  writeFileSync(armPath(control), ' '.repeat(armBytes))
}

/** From now on. An arm of before is gone, fired or not. */
export function writeArm(control: string, arm: Arm | undefined): void {
  const file = openSync(armPath(control), 'r+')
  writeSync(file, (arm === undefined ? '' : JSON.stringify(arm)).padEnd(armBytes), 0)
  closeSync(file)
}

/** Whether the arm has killed. */
export function hasFired(control: string, id: number): boolean {
  try {
    return readFileSync(firedPath(control, id), 'utf8') !== ''
  } catch {
    return false
  }
}

/** The side of the process that is to die. Made before the functions of node:fs are replaced, and keeps the real ones. */
export class ArmReader {
  readonly #control: string
  readonly #file: number
  readonly #buffer = Buffer.alloc(armBytes)
  readonly #fs = { readSync, openSync, writeSync, closeSync }
  #text = ''
  #arm: Arm | undefined
  #count = 0

  constructor(control: string) {
    this.#control = control
    this.#file = openSync(armPath(control), 'r')
  }

  /** Counts an occurrence of the moment. @returns the arm when this is the one to die at. */
  due(moment: string, weight: number): Arm | undefined {
    const arm = this.#read()
    if (arm?.moment !== moment) return undefined
    this.#count += weight
    return this.#count >= arm.nth ? arm : undefined
  }

  /** @returns false when another process was first. */
  claim(arm: Arm): boolean {
    try {
      const file = this.#fs.openSync(firedPath(this.#control, arm.id), 'wx')
      this.#fs.writeSync(file, String(process.pid))
      this.#fs.closeSync(file)
      return true
    } catch {
      return false
    }
  }

  #read(): Arm | undefined {
    this.#fs.readSync(this.#file, this.#buffer, 0, armBytes, 0)
    const text = this.#buffer.toString('latin1')
    if (text === this.#text) return this.#arm
    this.#text = text
    this.#arm = text.trim() === '' ? undefined : (JSON.parse(text) as Arm)
    this.#count = 0
    return this.#arm
  }
}
