/**
 * Recovery codes: what a person types in place of a second factor's code when the device is lost. As random as a key, so that a
 * plain digest keeps them; which are left is in the rows.
 */
import { hash } from 'node:crypto'
import { toBase32 } from './totp.ts'

const count = 10
/** 80 bits: whoever reads the digests cannot find what they are of. */
const codeBytes = 10

/** Ten new codes, such as `mfrg-gzdf-mztw-q2lk`. */
export function newRecoveryCodes(randomBytes: (size: number) => Buffer): string[] {
  return Array.from({ length: count }, () => {
    const groups = toBase32(randomBytes(codeBytes)).toLowerCase().match(/.{4}/g) ?? []
    return groups.join('-')
  })
}

/** The digest that is kept of a code, however it is typed: case, spaces and dashes do not count. undefined: it cannot be one. */
export function recoveryCodeHash(typed: string): Buffer | undefined {
  const code = typed.replaceAll(/[\s-]/g, '').toLowerCase()
  return /^[a-z2-7]{16}$/.test(code) ? hash('sha256', code, 'buffer') : undefined
}
