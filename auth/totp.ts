/**
 * Codes of a second factor that change with the time, as authenticator apps compute them. Pure: time and randomness come in.
 *
 * Source: RFC 6238 with SHA-1, 30 seconds and 6 digits, which is all that every app knows; RFC 4648 for base32.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'

const stepMs = 30_000
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
/** As long as the hash. Source: RFC 4226, 4, requirement 6. */
const secretBytes = 20

/** A new secret, in base32. */
export function newTotpSecret(randomBytes: (size: number) => Buffer): string {
  return toBase32(randomBytes(secretBytes))
}

/** The number of the half minute that this moment is in. */
export function totpStepAt(nowMs: number): number {
  return Math.floor(nowMs / stepMs)
}

/** The code of one step. @param secret in base32 */
export function totpCode(secret: string, step: number, digits = 6): string {
  const counter = Buffer.alloc(8)
  counter.writeBigUInt64BE(BigInt(step))
  const mac = createHmac('sha1', fromBase32(secret)).update(counter).digest()
  const offset = mac.readUInt8(mac.length - 1) & 0xf
  return String((mac.readUInt32BE(offset) & 0x7fff_ffff) % 10 ** digits).padStart(digits, '0')
}

export interface TotpCheck {
  /** In base32. */
  readonly secret: string
  /** As a person typed it; spaces do not count. */
  readonly code: string
  readonly nowMs: number
  /** The step of the code that was taken last: this one and those before it are used up. */
  readonly lastStep: number
}

/**
 * The step whose code this is: the present one, or the one before or after it, for clocks that differ and people who type slowly.
 * @returns undefined when it is none of these, or used up.
 */
export function matchTotp({ secret, code, nowMs, lastStep }: TotpCheck): number | undefined {
  const typed = code.replaceAll(/\s/g, '')
  if (!/^\d{6}$/.test(typed)) return undefined
  const now = totpStepAt(nowMs)
  return [now - 1, now, now + 1].find((step) => step > lastStep && step >= 0 && isEqual(totpCode(secret, step), typed))
}

/** What an app reads from a QR code. Source: the key URI format that Google Authenticator began and all apps read. */
export function totpUri({ secret, account, issuer }: { secret: string; account: string; issuer: string }): string {
  const label = `${encodeURIComponent(issuer)}:${encodeURIComponent(account)}`
  return `otpauth://totp/${label}?secret=${secret}&issuer=${encodeURIComponent(issuer)}&algorithm=SHA1&digits=6&period=30`
}

/** Source: RFC 4648, 6; without padding, which no app wants. */
export function toBase32(bytes: Uint8Array): string {
  const bits = Array.from(bytes, (byte) => byte.toString(2).padStart(8, '0')).join('')
  const groups = bits.match(/.{1,5}/g) ?? []
  return groups.map((group) => alphabet[Number.parseInt(group.padEnd(5, '0'), 2)]).join('')
}

/** @throws {RangeError} a character that is none of base32 */
export function fromBase32(text: string): Buffer {
  const bits = Array.from(text, (character) => {
    const value = alphabet.indexOf(character)
    if (value === -1) throw new RangeError('not base32')
    return value.toString(2).padStart(5, '0')
  }).join('')
  return Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)))
}

function isEqual(a: string, b: string): boolean {
  return timingSafeEqual(Buffer.from(a), Buffer.from(b))
}
