/**
 * Tokens: what is issued is believed, and nothing else is (threats 30, 36, 37).
 */
import assert from 'node:assert/strict'
import { createHmac, generateKeyPairSync, sign as signBytes, type KeyObject } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import * as fc from 'fast-check'
import { makeAccessToken } from '../../auth/access-token.ts'
import type { Account } from '../../auth/identity.ts'
import { parseScopes } from '../../auth/scope.ts'
import { createSigningKey, KeyRing, revokeSigningKey } from '../../auth/signing-keys.ts'
import { Tokens, type TokenOptions } from '../../auth/tokens.ts'
import { anonymous, directoryOf, makeAccount, rejects, TestClock, type KnownToken } from './cast.ts'

interface Stage {
  clock: TestClock
  folder: string
  keys: KeyRing
  accounts: Account[]
  held: KnownToken[]
  used: string[]
  tokens: Tokens
  options: TokenOptions
}

const alice = makeAccount('alice', { id: 7, credentialVersion: 3 })
const identity = { kind: 'account', account: alice } as const
const access = parseScopes(['repository:alice/app:pull,push'])

async function setStage(t: TestContext): Promise<Stage> {
  const folder = mkdtempSync(join(tmpdir(), 'keys-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const clock = new TestClock()
  const keys = await KeyRing.open(folder, clock.now)
  const accounts = [alice]
  const held: KnownToken[] = []
  const used: string[] = []
  const options = {
    keys,
    issuer: 'lanyard',
    service: 'reg.example',
    ttlSeconds: 300,
    clock: clock.now,
    accounts: directoryOf(accounts, held, used),
  }
  return { clock, folder, keys, accounts, held, used, tokens: new Tokens(options), options }
}

type Json = Record<string, unknown>
const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const decode = (part: string | undefined): Json => JSON.parse(Buffer.from(part ?? '', 'base64url').toString('utf8')) as Json
const partsOf = (token: string): { header: Json; claims: Json } => {
  const [header, claims] = token.split('.')
  return { header: decode(header), claims: decode(claims) }
}

function es256(header: Json, claims: Json, key: KeyObject): string {
  const text = `${encode(header)}.${encode(claims)}`
  return `${text}.${signBytes('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
}

test('a token is believed by any process that has the keys', async (t) => {
  const { tokens, options } = await setStage(t)
  const issued = await tokens.issue(identity, access)
  assert.equal(issued.expiresInSeconds, 300)
  for (const reader of [tokens, new Tokens(options)]) {
    assert.deepEqual(await reader.verify(issued.token), { identity, via: 'bearer', access })
  }
})

test('an anonymous token stays anonymous', async (t) => {
  const { tokens } = await setStage(t)
  const { token } = await tokens.issue(anonymous, [])
  assert.deepEqual(await tokens.verify(token), { identity: anonymous, via: 'bearer', access: [] })
})

test('a token says what the protocol wants, and nothing secret', async (t) => {
  const { tokens, keys, clock } = await setStage(t)
  const { header, claims } = partsOf((await tokens.issue(identity, access)).token)
  const now = Math.floor(clock.ms / 1000)
  const { jti, ...rest } = claims
  assert.deepEqual(header, { alg: 'ES256', typ: 'JWT', kid: keys.current().kid })
  assert.match(String(jti), /^[0-9a-f-]{36}$/)
  const subject = { sub: '7', ver: 3, name: 'alice' }
  assert.deepEqual(rest, { iss: 'lanyard', aud: 'reg.example', use: 'registry', ...subject, iat: now, nbf: now, exp: now + 300, access })
})

test('a token lives for its time and a minute of leeway, also when it was seen before', async (t) => {
  const { tokens, options, clock } = await setStage(t)
  const { token } = await tokens.issue(identity, access)
  await tokens.verify(token)
  const start = clock.ms
  clock.ms = start + 359_999
  assert.equal((await tokens.verify(token)).via, 'bearer')
  clock.ms = start + 360_000
  await rejects(tokens.verify(token), 'tokenInvalid')
  await rejects(new Tokens(options).verify(token), 'tokenInvalid')
  clock.ms = start - 60_000
  assert.equal((await tokens.verify(token)).via, 'bearer')
  clock.ms = start - 61_000
  await rejects(tokens.verify(token), 'tokenInvalid')
})

test('a change of the account ends its tokens with the next request', async (t) => {
  const { tokens, accounts } = await setStage(t)
  const { token } = await tokens.issue(identity, access)
  await tokens.verify(token)
  const changes: Account[][] = [[], [{ ...alice, isDisabled: true }], [{ ...alice, credentialVersion: 4 }], [{ ...alice, id: 8 }]]
  for (const change of changes) {
    accounts.splice(0, 1, ...change)
    await rejects(tokens.verify(token), 'tokenInvalid')
  }
  accounts.splice(0, accounts.length, { ...alice, isAdmin: true })
  assert.deepEqual((await tokens.verify(token)).identity, { kind: 'account', account: { ...alice, isAdmin: true } }, 'as it is now')
})

test('a token of an old key is believed until that key is revoked, also when it was seen before', async (t) => {
  const { tokens, keys, folder, clock } = await setStage(t)
  const { token } = await tokens.issue(identity, access)
  await createSigningKey(folder, clock.now)
  clock.ms += 1000
  const next = await tokens.issue(identity, access)
  assert.notEqual(partsOf(next.token).header['kid'], partsOf(token).header['kid'])
  assert.equal((await tokens.verify(token)).via, 'bearer')
  await revokeSigningKey(folder, String(partsOf(token).header['kid']))
  clock.ms += 1000
  await rejects(tokens.verify(token), 'tokenInvalid')
  assert.equal((await tokens.verify(next.token)).via, 'bearer')
  assert.equal(partsOf(next.token).header['kid'], keys.current().kid)
})

test('a token signed by another process a moment after it rotated is believed at once', async (t) => {
  const { tokens, options, folder, clock } = await setStage(t)
  await createSigningKey(folder, clock.now)
  const elsewhere = new Tokens({ ...options, keys: await KeyRing.open(folder, clock.now) })
  const { token } = await elsewhere.issue(identity, access)
  assert.equal((await tokens.verify(token)).via, 'bearer')
})

type Forge = (good: { header: Json; claims: Json; key: KeyObject; publicPem: string; stage: Stage }) => string
const attacker = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const resign =
  (change: Json): Forge =>
  ({ header, claims, key }) =>
    es256(header, { ...claims, ...change }, key)
const rename =
  (change: Json): Forge =>
  ({ header, claims }) =>
    es256({ ...header, ...change }, claims, attacker.privateKey)

function hs256(header: Json, claims: Json, secret: string): string {
  const text = `${encode({ ...header, alg: 'HS256' })}.${encode(claims)}`
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`
}

const forgeries: Record<string, Forge> = {
  'alg none without a signature': ({ header, claims }) => `${encode({ ...header, alg: 'none' })}.${encode(claims)}.`,
  'alg none with a signature': ({ header, claims }) => `${encode({ ...header, alg: 'none' })}.${encode(claims)}.AAAA`,
  'alg None in another case': ({ header, claims }) => `${encode({ ...header, alg: 'nOnE' })}.${encode(claims)}.AAAA`,
  'HS256 with the public key as the secret': ({ header, claims, publicPem }) => hs256(header, claims, publicPem),
  'HS256 with the kid as the secret': ({ header, claims }) => hs256(header, claims, String(header['kid'])),
  'no alg': ({ header, claims, key }) => es256({ ...header, alg: undefined }, claims, key),
  'another alg over a right signature': ({ header, claims, key }) => es256({ ...header, alg: 'ES384' }, claims, key),
  'a key of the attacker under our kid': rename({}),
  'an embedded jwk': rename({ jwk: attacker.publicKey.export({ format: 'jwk' }) }),
  'an embedded jwk and no kid': rename({ jwk: attacker.publicKey.export({ format: 'jwk' }), kid: undefined }),
  'a jku': rename({ jku: 'http://127.0.0.1/keys' }),
  'x5u and x5c': rename({
    x5u: 'http://127.0.0.1/cert',
    x5c: [attacker.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')],
  }),
  'a kid that climbs': rename({ kid: '../../' }),
  'a kid of SQL': rename({ kid: "' or 1=1 --" }),
  'a kid that is no text': rename({ kid: ['x'] }),
  'a kid of the prototype': rename({ kid: '__proto__' }),
  'an extension that must be understood': ({ header, claims, key }) => es256({ ...header, crit: ['x'], x: 1 }, claims, key),
  'another service': resign({ aud: 'other.example' }),
  'no service': resign({ aud: undefined }),
  'another issuer': resign({ iss: 'other' }),
  'no issuer': resign({ iss: undefined }),
  'another kind of token': resign({ use: 'session' }),
  'no kind': resign({ use: undefined }),
  'no expiry': resign({ exp: undefined }),
  'an expiry that is text': resign({ exp: '99999999999' }),
  'an expiry in the past': ({ header, claims, key }) => es256(header, { ...claims, exp: Number(claims['iat']) - 61 }, key),
  'not valid before tomorrow': ({ header, claims, key }) => es256(header, { ...claims, nbf: Number(claims['nbf']) + 86_400 }, key),
  'issued tomorrow': ({ header, claims, key }) => es256(header, { ...claims, iat: Number(claims['iat']) + 86_400 }, key),
  'no nbf': resign({ nbf: undefined }),
  'no iat': resign({ iat: undefined }),
  'no id': resign({ jti: undefined }),
  'no subject': resign({ sub: undefined }),
  'a subject that is a number': resign({ sub: 7 }),
  'a subject written in another way': resign({ sub: '07' }),
  'an unknown subject': resign({ sub: '8' }),
  'an old version': resign({ ver: 2 }),
  'no version': resign({ ver: undefined }),
  'no access': resign({ access: undefined }),
  'access of another shape': resign({ access: [{ type: 'repository', name: 'a', actions: 'pull' }] }),
  'claims that were changed after signing': ({ header, claims, key }) => {
    const [head, , signature] = es256(header, claims, key).split('.')
    return `${head}.${encode({ ...claims, sub: '1' })}.${signature}`
  },
  'claims that are no object': ({ header, key }) => es256(header, [] as unknown as Json, key),
  'more than 8 KiB': resign({ padding: 'x'.repeat(8192) }),
  'more after it': ({ header, claims, key }) => `${es256(header, claims, key)}.x`,
  'white space in it': ({ header, claims, key }) => es256(header, claims, key).replace('.', ' .'),
  nothing: () => '',
  dots: () => '..',
  'no JSON': () => 'YQ.YQ.YQ',
  'no token': () => 'secret-secret',
}

for (const [title, forge] of Object.entries(forgeries)) {
  test(`refuses ${title}, saying no more than that`, async (t) => {
    const stage = await setStage(t)
    const { privateKey, publicKey } = stage.keys.current()
    const good = partsOf((await stage.tokens.issue(identity, access)).token)
    assert.equal((await stage.tokens.verify(es256(good.header, good.claims, privateKey))).via, 'bearer', 'the forge makes good ones too')
    const publicPem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
    const token = forge({ ...good, key: privateKey, publicPem, stage })
    const fault = await rejects(stage.tokens.verify(token), 'tokenInvalid')
    assert.equal(fault.message, 'the token is expired or not valid: log in again')
    assert.deepEqual([fault.cause, fault.details], [undefined, []])
    await rejects(stage.tokens.verify(token), 'tokenInvalid')
  })
}

test('our own token is read by its kid alone, whatever keys its header carries', async (t) => {
  const { tokens, keys } = await setStage(t)
  const { header, claims } = partsOf((await tokens.issue(identity, access)).token)
  const jwk = attacker.publicKey.export({ format: 'jwk' })
  assert.equal((await tokens.verify(es256({ ...header, jwk, jku: 'http://x/' }, claims, keys.current().privateKey))).via, 'bearer')
})

test('one changed character makes a token invalid', async (t) => {
  const { tokens } = await setStage(t)
  const { token } = await tokens.issue(identity, access)
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.'
  await fc.assert(
    fc.asyncProperty(fc.nat(token.length - 2), fc.constantFrom(...alphabet.split('')), async (at, character) => {
      if (token[at] === character) return
      await rejects(tokens.verify(token.slice(0, at) + character + token.slice(at + 1)), 'tokenInvalid')
    }),
  )
})

test('no text makes verifying fail in another way', async (t) => {
  const { tokens } = await setStage(t)
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: 'binary' }), async (text) => void (await rejects(tokens.verify(text), 'tokenInvalid'))),
  )
})

test('a token for very many repositories is narrowed until a header holds it', async (t) => {
  const { tokens } = await setStage(t)
  const many = parseScopes(Array.from({ length: 100 }, (_, index) => `repository:alice/${'x'.repeat(200)}${index}:pull,push,delete`))
  const issued = await tokens.issue(identity, many)
  assert.ok(issued.token.length < 8192)
  assert.ok(issued.access.length > 10)
  assert.deepEqual((await tokens.verify(issued.token)).access, many.slice(0, issued.access.length))
  assert.deepEqual(issued.access, many.slice(0, issued.access.length))
})

const held: KnownToken = {
  accountId: 7,
  secret: makeAccessToken('person'),
  token: { id: 9, name: 'ci', scopes: [{ actions: ['pull'], repositories: 'alice/*' }] },
  expiresAtMs: undefined,
  revokedAtMs: undefined,
  lastUsedAtMs: undefined,
}

test('a token that was issued for an access token says so, and is looked up with it for every request', async (t) => {
  const { tokens, options, held: list, used } = await setStage(t)
  list.push(held)
  const holder = { ...identity, token: held.token }
  const { token } = await tokens.issue(holder, access)
  assert.equal(partsOf(token).claims['tid'], 9)
  for (const reader of [tokens, new Tokens(options)]) {
    assert.deepEqual(await reader.verify(token, '10.0.0.1'), { identity: holder, via: 'bearer', access })
  }
  assert.deepEqual(used, ['ci from 10.0.0.1', 'ci from 10.0.0.1'])
  const narrowed = { ...held, token: { ...held.token, scopes: [{ actions: ['pull'] as const, repositories: 'alice/other' }] } }
  list.splice(0, 1, narrowed)
  assert.deepEqual((await tokens.verify(token)).identity, { ...identity, token: narrowed.token }, 'as it is now')
})

test('what ends an access token ends what was issued for it, with the next request', async (t) => {
  const { tokens, accounts, held: list, clock } = await setStage(t)
  list.push(held)
  const { token } = await tokens.issue({ ...identity, token: held.token }, access)
  await tokens.verify(token)
  const ends: readonly KnownToken[][] = [
    [],
    [{ ...held, revokedAtMs: clock.ms }],
    [{ ...held, expiresAtMs: clock.ms }],
    [{ ...held, token: { ...held.token, id: 10 } }],
  ]
  for (const end of ends) {
    list.splice(0, 1, ...end)
    await rejects(tokens.verify(token), 'tokenInvalid')
  }
  list.splice(0, list.length, held)
  assert.equal((await tokens.verify(token)).via, 'bearer')
  for (const change of [[], [{ ...alice, isDisabled: true }], [{ ...alice, credentialVersion: 4 }]]) {
    accounts.splice(0, accounts.length, ...change)
    await rejects(tokens.verify(token), 'tokenInvalid')
  }
})

test('a token for the access token of another account, or with an id that is none, is refused', async (t) => {
  const { tokens, accounts, held: list, keys } = await setStage(t)
  accounts.push(makeAccount('bob', { id: 8, credentialVersion: 3 }))
  list.push({ ...held, accountId: 8 })
  const { token } = await tokens.issue({ ...identity, token: held.token }, access)
  await rejects(tokens.verify(token), 'tokenInvalid')
  const { header, claims } = partsOf((await tokens.issue(identity, access)).token)
  for (const tid of ['9', null, 1.5, [9], {}, '9; drop table access_token'])
    await rejects(tokens.verify(es256(header, { ...claims, tid }, keys.current().privateKey)), 'tokenInvalid')
})
