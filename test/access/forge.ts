/**
 * Making tokens that the server did not make: other headers, other claims, other keys.
 */
import { createHmac, createPrivateKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'

export type Json = Readonly<Record<string, unknown>>

export interface TokenParts {
  readonly header: Json
  readonly claims: Json
}

export function partsOf(token: string): TokenParts {
  const [header, claims] = token.split('.')
  return { header: decode(header), claims: decode(claims) }
}

/** Signed as the server would, with whatever key. */
export function es256({ header, claims }: TokenParts, key: KeyObject): string {
  const text = `${encode(header)}.${encode(claims)}`
  return `${text}.${sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
}

export function hs256({ header, claims }: TokenParts, secret: string | Buffer): string {
  const text = `${encode({ ...header, alg: 'HS256' })}.${encode(claims)}`
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`
}

export function unsigned({ header, claims }: TokenParts, alg: string): string {
  return `${encode({ ...header, alg })}.${encode(claims)}.`
}

/** A key pair that no server knows. */
export function strangersKey(): { privateKey: KeyObject; publicKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' })
}

/** The key that a data folder's server signs with, as whoever stole the folder would have it. */
export async function stolenKey(keysFolder: string): Promise<KeyObject> {
  const newest = (await readdir(keysFolder)).toSorted().at(-1) ?? ''
  return createPrivateKey(await readFile(join(keysFolder, newest)))
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

function decode(part: string | undefined): Json {
  return JSON.parse(Buffer.from(part ?? '', 'base64url').toString('utf8')) as Json
}
