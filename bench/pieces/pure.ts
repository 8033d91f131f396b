/**
 * What a request needs without any disk: parsing, deciding, remembering who somebody is, counting and logging, hashing.
 */
import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { Authenticator } from '../../auth/authenticate.ts'
import { authorize } from '../../auth/authorize.ts'
import type { Account, AccountDirectory, Caller } from '../../auth/identity.ts'
import { Passwords } from '../../auth/passwords.ts'
import { isAllowed, type PolicySettings, type Request } from '../../auth/policy.ts'
import { createSigningKey, KeyRing } from '../../auth/signing-keys.ts'
import { Tokens, type TokenOptions } from '../../auth/tokens.ts'
import { digestOf } from '../../oci/digest.ts'
import { parseTarget } from '../../oci/endpoints.ts'
import { parseManifest, type ManifestRules } from '../../oci/manifest.ts'
import { parseRepositoryName } from '../../oci/repository-name.ts'
import { createLogger } from '../../server/log.ts'
import { createMetrics } from '../../server/metrics.ts'
import { manifestType, sha256 } from '../client.ts'
import type { Piece, PieceGroup } from '../piece.ts'
import { imageManifest } from '../sample-image.ts'

const account: Omit<Account, 'passwordHash'> = {
  id: 1,
  name: 'alice',
  isAdmin: false,
  isDisabled: false,
  hasSecondFactor: false,
  credentialVersion: 1,
  kind: 'person',
  robotOf: undefined,
}
const password = 'correct horse battery'
const name = parseRepositoryName('alice/tools/builder')

export async function purePieces(folder: string): Promise<PieceGroup> {
  return {
    title: 'without a disk',
    pieces: [...parsers(), ...(await identities(folder)), ...records(), ...hashes()],
  }
}

function parsers(): Piece[] {
  const rules: ManifestRules = { maxReferences: 100_000, allowUnknownTypes: false }
  const manifest = manifestOf(10)
  const large = manifestOf(20_000)
  const digest = sha256(manifest)
  return [
    { title: 'path of a manifest by tag', run: () => parseTarget('/v2/alice/tools/builder/manifests/v1.2.3') },
    { title: 'path of a blob', run: () => parseTarget(`/v2/alice/tools/builder/blobs/${digest}`) },
    { title: `manifest of 10 layers, ${(manifest.length / 1024).toFixed(1)} KiB`, run: () => parseManifest(manifest, manifestType, rules) },
    {
      title: `manifest of 20,000 layers, ${(large.length / 1024 / 1024).toFixed(1)} MiB`,
      run: () => parseManifest(large, manifestType, rules),
    },
  ]
}

/** With its descriptors' annotations, as builders write them. */
function manifestOf(layers: number): Buffer {
  const content = (text: string): { digest: string; size: number } => ({ digest: sha256(Buffer.from(text)), size: 12_345 })
  const list = Array.from({ length: layers }, (_, index) => ({
    ...content(`layer ${index}`),
    annotations: { 'org.example.step': `${index}` },
  }))
  return imageManifest(content('config'), list)
}

async function identities(folder: string): Promise<Piece[]> {
  const passwords = new Passwords({ cost: 12, concurrency: 1, queueLimit: 1, cacheTtlMs: 300_000, clock: Date.now })
  const alice: Account = { ...account, passwordHash: await passwords.hash(password) }
  const accounts: AccountDirectory = {
    findAccountById: async () => alice,
    findAccountByName: async () => alice,
    findTokenById: async () => undefined,
    findTokenBySecret: async () => undefined,
    noteUse: () => undefined,
  }
  const keyFolder = `${folder}/keys`
  mkdirSync(keyFolder, { recursive: true })
  await createSigningKey(keyFolder, Date.now)
  const keys = await KeyRing.open(keyFolder, Date.now)
  const options: TokenOptions = { keys, issuer: 'lanyard', service: 'lanyard', ttlSeconds: 3600, clock: Date.now, accounts }
  const tokens = new Tokens(options)
  const access = [{ type: 'repository', name, actions: ['pull', 'push'] }]
  const { token } = await tokens.issue({ kind: 'account', account: alice }, access)
  const authenticator = new Authenticator({ accounts, passwords, tokens })
  const basic = `Basic ${Buffer.from(`alice:${password}`).toString('base64')}`
  const bearer = `Bearer ${token}`
  const caller = await authenticator.authenticate(bearer)
  return [
    { title: 'Basic credentials, remembered', run: () => authenticator.authenticate(basic) },
    {
      title: 'Basic credentials, bcrypt at cost 12',
      run: () => new Passwords({ ...passwordOptions, clock: Date.now }).check(alice, password),
    },
    { title: 'Bearer token, seen before', run: () => authenticator.authenticate(bearer) },
    { title: 'Bearer token, its signature checked', run: () => new Tokens(options).verify(token) },
    { title: 'issuing a token', run: () => tokens.issue({ kind: 'account', account: alice }, access) },
    ...decisions(caller),
  ]
}

const passwordOptions = { cost: 12, concurrency: 1, queueLimit: 1, cacheTtlMs: 0 }

function decisions(caller: Caller): Piece[] {
  const policy: PolicySettings = { isOpen: false }
  const request: Request = { kind: 'repository', action: 'pull', name, visibility: 'private' }
  return [
    { title: 'the policy', run: () => isAllowed(policy, caller.identity, request) },
    { title: 'the policy and what the token covers', run: () => authorize(policy, caller, request) },
  ]
}

function records(): Piece[] {
  const settings = { level: 'info', format: 'json', requests: true } as const
  const log = createLogger(settings, { isTerminal: false, destination: { write: () => undefined } })
  const metrics = createMetrics()
  const line = {
    requestId: '1f0c3a9e-2s',
    method: 'GET',
    path: '/v2/alice/tools/builder/manifests/v1.2.3',
    status: 200,
    durationMs: 1.2,
    endpoint: 'manifest',
    client: '192.168.1.20',
    agent: 'docker/29.1.2 go/go1.25.4 kernel/6.12 os/linux arch/amd64',
    account: 'alice',
  }
  const record = { endpoint: 'manifest', method: 'GET', status: 200, durationMs: 1.2, receivedBytes: 300, sentBytes: 1700 }
  return [
    { title: 'a line of the request log', run: () => log.info(line, 'request') },
    { title: 'counting a request', run: () => metrics.recordRequest(record) },
  ]
}

function hashes(): Piece[] {
  const small = randomBytes(10 * 1024)
  const large = randomBytes(1024 * 1024)
  return [
    { title: 'sha256 of 10 KiB', run: () => digestOf('sha256', small) },
    { title: 'sha256 of 1 MiB', run: () => createHash('sha256').update(large).digest() },
    { title: 'sha512 of 1 MiB', run: () => createHash('sha512').update(large).digest() },
  ]
}
