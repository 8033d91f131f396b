/**
 * What a disk does to a file: bits, size and the file itself change, the time of its last change does not.
 */
import { closeSync, fstatSync, ftruncateSync, futimesSync, openSync, readSync, rmSync, statSync, writeSync } from 'node:fs'

export type Damage = (path: string) => void

function keepingTime(path: string, change: (file: number, size: number) => void): void {
  const { atime, mtime } = statSync(path)
  const file = openSync(path, 'r+')
  try {
    change(file, fstatSync(file).size)
    futimesSync(file, atime, mtime)
  } finally {
    closeSync(file)
  }
}

/** @param at where, as a part of the whole: 1 is the last byte */
export function flipBit(at = 0.5): Damage {
  return (path) =>
    keepingTime(path, (file, size) => {
      const position = Math.min(size - 1, Math.floor(size * at))
      const byte = Buffer.alloc(1)
      readSync(file, byte, 0, 1, position)
      writeSync(file, Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, position)
    })
}

export const cutShort: Damage = (path) => keepingTime(path, (file, size) => ftruncateSync(file, size - 1))
/** As a file system does it that knew the new size and not yet the bytes. */
export const fillWithZeros: Damage = (path) => keepingTime(path, (file, size) => void writeSync(file, Buffer.alloc(size), 0, size, 0))
export const remove: Damage = (path) => rmSync(path)

export const everyDamage: Readonly<Record<string, { readonly damage: Damage; readonly fault: 'content' | 'size' | 'missing' }>> = {
  'a bit flipped in the middle': { damage: flipBit(), fault: 'content' },
  'a bit flipped in the last byte': { damage: flipBit(1), fault: 'content' },
  'a byte cut off': { damage: cutShort, fault: 'size' },
  'zeros in place of the bytes': { damage: fillWithZeros, fault: 'content' },
  'the file gone': { damage: remove, fault: 'missing' },
}
