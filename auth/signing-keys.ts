/**
 * The keys that sign tokens: ES256 key pairs as files in one folder, `<created, ms>-<kid>.pem`. What is signed with them
 * is tokens.ts's part.
 *
 * Invariants: a key file is complete and durable before it has its name, and only its owner can read it. The newest key
 * signs; every key in the folder verifies, so that deleting the file is revoking the key. No private key leaves here as text.
 */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from './clock.ts'

export interface SigningKeyFile {
  /** RFC 7638 thumbprint of the public key, base64url. */
  readonly kid: string
  /** Milliseconds since the epoch; larger than that of every key that was there before. */
  readonly createdMs: number
  /** The file's name in the folder. */
  readonly file: string
}

export interface SigningKey extends SigningKeyFile {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

/** A key file that cannot be used, with the sentence that says what to do. */
export class SigningKeyError extends Error {}

const filePattern = /^(\d{15})-([A-Za-z0-9_-]{43})\.pem$/
const kidPattern = /^[A-Za-z0-9_-]{43}$/
const leftoverPattern = /^\.[A-Za-z0-9_-]{43}\.tmp$/

/** The keys in the folder, the newest first; none if there is no folder. */
export async function listSigningKeys(folder: string): Promise<SigningKeyFile[]> {
  const names = await readdir(folder).catch(emptyIfAbsent)
  const keys = names.flatMap((file) => {
    const [, created, kid] = filePattern.exec(file) ?? []
    return created !== undefined && kid !== undefined ? [{ kid, createdMs: Number(created), file }] : []
  })
  return keys.toSorted((a, b) => b.createdMs - a.createdMs || (a.file < b.file ? 1 : -1))
}

/** Makes a new key, which signs from now on in every process. To rotate is to call this; the older keys go on verifying. */
export async function createSigningKey(folder: string, clock: Clock): Promise<SigningKeyFile> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const [newest] = await listSigningKeys(folder)
  // A clock that was set back must not make the new key look like the older one.
  const createdMs = Math.max(Math.trunc(clock()), newest === undefined ? 0 : newest.createdMs + 1)
  const { privateKey, kid } = generateKey()
  const file = `${String(createdMs).padStart(15, '0')}-${kid}.pem`
  await writeDurably({ folder, file, temporary: `.${kid}.tmp` }, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())
  return { kid, createdMs, file }
}

/**
 * Deletes a key whatever it has signed: its tokens are refused within a second, in every process. If it was the last one,
 * the next key ring to look makes a new one.
 * @returns whether there was such a key.
 */
export async function revokeSigningKey(folder: string, kid: string): Promise<boolean> {
  const keys = await listSigningKeys(folder)
  return (
    (await deleteFiles(
      folder,
      keys.filter((key) => key.kid === kid).map(({ file }) => file),
    )) > 0
  )
}

/**
 * Deletes the keys that a newer one had replaced before `supersededBeforeMs`, an instant in ms since the epoch: now, less the
 * life of a token, the leeway of a minute and a minute for processes that were slow to notice. Then all their tokens have expired.
 * @returns the kids of the deleted keys.
 */
export async function pruneSigningKeys(folder: string, supersededBeforeMs: number): Promise<string[]> {
  const keys = await listSigningKeys(folder)
  const superseded = keys.filter((_, index) => (keys[index - 1]?.createdMs ?? Infinity) < supersededBeforeMs)
  await deleteFiles(folder, [...superseded.map(({ file }) => file), ...(await listLeftovers(folder, supersededBeforeMs))])
  return superseded.map(({ kid }) => kid)
}

/** The folder's keys in memory. Another process may rotate or revoke at any time: the ring follows the folder. */
export class KeyRing {
  readonly #folder: string
  readonly #clock: Clock
  /** By kid, the newest first. */
  #keys: ReadonlyMap<string, SigningKey> = new Map()
  #lookedMs = -Infinity
  #searchedMs = -Infinity
  #reading: Promise<void> | undefined

  private constructor(folder: string, clock: Clock) {
    this.#folder = folder
    this.#clock = clock
  }

  /**
   * Reads the folder; makes it, and a first key, where there is none.
   * @throws {SigningKeyError} a key file is not the key that its name says, or cannot be read
   */
  static async open(folder: string, clock: Clock): Promise<KeyRing> {
    const ring = new KeyRing(folder, clock)
    await ring.refreshIfChanged()
    return ring
  }

  /** The key that signs. */
  current(): SigningKey {
    const [newest] = this.#keys.values()
    if (!newest) throw new Error('there is no signing key')
    return newest
  }

  find(kid: string): SigningKey | undefined {
    return this.#keys.get(kid)
  }

  /** Whether the folder was looked at within the last second. */
  isFresh(): boolean {
    return isWithin(this.#clock() - this.#lookedMs, 1000)
  }

  /** Looks at the folder, at most once a second, and takes over what changed. */
  async refreshIfChanged(): Promise<void> {
    if (this.isFresh()) return
    this.#lookedMs = this.#clock()
    await this.#read()
  }

  /**
   * Like `find`, but a kid that is not known is looked for in the folder at once: another process may have rotated a
   * moment ago and signed this token. At most 20 times a second, because anybody can send unknown kids.
   */
  async findFresh(kid: string): Promise<SigningKey | undefined> {
    const known = this.find(kid)
    if (known || !kidPattern.test(kid)) return known
    if (!isWithin(this.#clock() - this.#searchedMs, 50)) {
      this.#searchedMs = this.#clock()
      await this.#read()
    } else {
      await this.#reading
    }
    return this.find(kid)
  }

  /** After the reading under way, if there is one: that may have listed the folder before the change. */
  #read(): Promise<void> {
    const before = this.#reading ?? Promise.resolve()
    this.#reading = before.catch(() => undefined).then(() => this.#takeOver())
    return this.#reading
  }

  /** By names, not by the folder's mtime: two changes within one tick of the kernel's clock have the same. */
  async #takeOver(): Promise<void> {
    const files = await listSigningKeys(this.#folder)
    // What was deleted goes before anything can fail: a damaged new key must not keep a revoked one alive.
    this.#keys = new Map(files.flatMap(({ kid }) => this.#keys.get(kid) ?? []).map((key) => [key.kid, key]))
    const keys = await Promise.all(files.map(async (file) => this.#keys.get(file.kid) ?? readSigningKey(this.#folder, file)))
    const present = keys.filter((key) => key !== undefined)
    if (present.length === 0) {
      const made = await readSigningKey(this.#folder, await createSigningKey(this.#folder, this.#clock))
      if (made) present.push(made)
    }
    this.#keys = new Map(present.map((key) => [key.kid, key]))
  }
}

/** A clock that was set back gives a negative age: not within, so that nothing is put off for hours. */
function isWithin(ageMs: number, limitMs: number): boolean {
  return ageMs >= 0 && ageMs < limitMs
}

/** undefined: it was deleted since the folder was listed. */
async function readSigningKey(folder: string, key: SigningKeyFile): Promise<SigningKey | undefined> {
  const path = join(folder, key.file)
  const pem = await readPem(path)
  if (pem === undefined) return undefined
  const privateKey = parsePrivateKey(pem)
  const publicKey = privateKey && createPublicKey(privateKey)
  if (!privateKey || !publicKey || thumbprintOf(publicKey) !== key.kid) {
    throw new SigningKeyError(`the signing key ${path} is damaged: delete it (what it signed must log in again) or restore it`)
  }
  return { ...key, privateKey, publicKey }
}

async function readPem(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    const code = codeOf(error)
    if (code === 'ENOENT') return undefined
    throw new SigningKeyError(
      `the signing key ${path} cannot be read (${String(code)}): it belongs to the user that the registry runs as`,
      {
        cause: error,
      },
    )
  }
}

function parsePrivateKey(pem: string): KeyObject | undefined {
  try {
    const key = createPrivateKey(pem)
    return key.asymmetricKeyDetails?.namedCurve === 'prime256v1' ? key : undefined
  } catch {
    return undefined
  }
}

/** Source: RFC 7638: SHA-256 over the required members in lexical order. */
/** Not one whose name begins with a dash: a command would take it for an option. */
function generateKey(): { privateKey: KeyObject; kid: string } {
  for (;;) {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const kid = thumbprintOf(publicKey)
    if (!kid.startsWith('-')) return { privateKey, kid }
  }
}

function thumbprintOf(publicKey: KeyObject): string {
  const { crv, kty, x, y } = publicKey.export({ format: 'jwk' })
  return createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url')
}

interface NewFile {
  readonly folder: string
  readonly file: string
  readonly temporary: string
}

async function writeDurably({ folder, file, temporary }: NewFile, text: string): Promise<void> {
  const path = join(folder, temporary)
  try {
    const handle = await open(path, 'wx', 0o600)
    try {
      await handle.writeFile(text)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(path, join(folder, file))
  } catch (error) {
    await rm(path, { force: true })
    throw error
  }
  await syncFolder(folder)
}

/** What a process left that died while it made a key; such a key never had a name and signed nothing. */
async function listLeftovers(folder: string, beforeMs: number): Promise<string[]> {
  const names = (await readdir(folder).catch(emptyIfAbsent)).filter((name) => leftoverPattern.test(name))
  const stats = await Promise.all(names.map((name) => stat(join(folder, name)).catch(undefinedIfAbsent)))
  return names.filter((_, index) => (stats[index]?.mtimeMs ?? Infinity) < beforeMs)
}

/** @returns how many there were. */
async function deleteFiles(folder: string, files: readonly string[]): Promise<number> {
  const deleted = await Promise.all(files.map((file) => unlink(join(folder, file)).then(() => true, undefinedIfAbsent)))
  if (files.length > 0) await syncFolder(folder)
  return deleted.filter(Boolean).length
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function undefinedIfAbsent(error: unknown): undefined {
  if (codeOf(error) === 'ENOENT') return undefined
  throw error
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}

function emptyIfAbsent(error: unknown): string[] {
  return undefinedIfAbsent(error) ?? []
}
