/**
 * Tokens that this registry did not issue, or not for this, over HTTP; and the keys behind the good ones: rotated, revoked,
 * stolen (threats 30, 36, 37).
 */
import assert from 'node:assert/strict'
import { createPublicKey, type KeyObject } from 'node:crypto'
import { test } from 'node:test'
import { createSigningKey, listSigningKeys, pruneSigningKeys, revokeSigningKey } from '../../auth/signing-keys.ts'
import { dataLayout } from '../../storage/layout.ts'
import { basic } from '../support/client.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'
import { bearer, pastTokenMs, repositories, setScene } from './callers.ts'
import { es256, hs256, partsOf, stolenKey, strangersKey, unsigned, type Json, type TokenParts } from './forge.ts'
import { challengeOf, errorsOf, send } from './wire.ts'

interface Loot {
  readonly good: TokenParts
  /** The server's own. */
  readonly key: KeyObject
  readonly publicPem: string
  readonly publicDer: Buffer
}

type Forge = (loot: Loot) => string

const stranger = strangersKey()
const strangersJwk = stranger.publicKey.export({ format: 'jwk' })
const inAnHour = (claims: Json): number => Number(claims['iat']) + 3600

/** Signed with the server's own key: only what the claims say can give it away. */
const claiming =
  (change: (claims: Json) => Json): Forge =>
  ({ good, key }) =>
    es256({ header: good.header, claims: { ...good.claims, ...change(good.claims) } }, key)

/** Signed with the stranger's key, which the header wants to have taken for ours. */
const pointing =
  (change: Json): Forge =>
  ({ good }) =>
    es256({ header: { ...good.header, ...change }, claims: good.claims }, stranger.privateKey)

const forgeries: Readonly<Record<string, Forge>> = {
  'no signature, alg none': ({ good }) => unsigned(good, 'none'),
  'no signature, alg None': ({ good }) => unsigned(good, 'None'),
  'alg none with the good signature': (loot) => `${unsigned(loot.good, 'none')}${es256(loot.good, loot.key).split('.')[2]}`,
  'HS256 with the public key as the secret': ({ good, publicPem }) => hs256(good, publicPem),
  'HS256 with the public key in bytes as the secret': ({ good, publicDer }) => hs256(good, publicDer),
  'HS256 with the kid as the secret': ({ good }) => hs256(good, String(good.header['kid'])),
  'HS256 with no secret': ({ good }) => hs256(good, ''),
  'a key of its own under our kid': pointing({}),
  'a key of its own in the header': pointing({ jwk: strangersJwk }),
  'a key of its own in the header and no kid': pointing({ jwk: strangersJwk, kid: undefined }),
  'the address of a key': pointing({ jku: 'http://127.0.0.1:1/keys.json' }),
  'the address of a certificate': pointing({ x5u: 'http://127.0.0.1:1/cert.pem' }),
  'a certificate in the header': pointing({ x5c: [stranger.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')] }),
  'a kid that climbs': pointing({ kid: '../../../dev/null' }),
  'a kid that is a path': pointing({ kid: '/etc/hostname' }),
  'a kid of SQL': pointing({ kid: "x' union select '" }),
  'a kid of the prototype': pointing({ kid: 'constructor' }),
  'another service': claiming(() => ({ aud: 'another-registry' })),
  'no service': claiming(() => ({ aud: undefined })),
  'another issuer': claiming(() => ({ iss: 'another-registry' })),
  'a session in place of a registry token': claiming(() => ({ use: 'session' })),
  'no kind': claiming(() => ({ use: undefined })),
  'valid only in an hour': claiming((claims) => ({ nbf: inAnHour(claims) })),
  'issued in an hour': claiming((claims) => ({ iat: inAnHour(claims) })),
  'past its time': claiming((claims) => ({ exp: Number(claims['iat']) - 3600 })),
  'no end': claiming(() => ({ exp: undefined })),
  'another version of the account': claiming((claims) => ({ ver: Number(claims['ver']) + 1 })),
  'an account that is not there': claiming(() => ({ sub: '4711' })),
  'an account by its name': claiming(() => ({ sub: 'alice' })),
  'the wish for more in place of the access': claiming(() => ({ access: 'repository:*:*' })),
  'claims exchanged after signing': (loot) => {
    const [head, , signature] = es256(loot.good, loot.key).split('.')
    const claims = { ...loot.good.claims, sub: '1' }
    return [head, Buffer.from(JSON.stringify(claims)).toString('base64url'), signature].join('.')
  },
  'a claim twice, once good and once bad': (loot) => {
    const text = JSON.stringify(loot.good.claims).replace('{', '{"sub":"1",')
    const [head, , signature] = es256(loot.good, loot.key).split('.')
    return [head, Buffer.from(text).toString('base64url'), signature].join('.')
  },
}

test('a forged token is refused everywhere, with one answer that says no more than that', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  const loot = await steal(registry, callers['owner token'])
  const line = `GET /v2/${repositories.private}/manifests/v1`
  assert.equal(
    (await send(registry, line, { authorization: `Bearer ${es256(loot.good, loot.key)}` })).status,
    200,
    'the forge can make good ones',
  )
  for (const [title, forge] of Object.entries(forgeries)) {
    await t.test(`refused: ${title}`, async () => {
      const authorization = `Bearer ${forge(loot)}`
      for (const each of [
        line,
        line,
        'GET /v2/',
        `PUT /v2/${repositories.private}/manifests/v2`,
        `GET /v2/${repositories.public}/manifests/v1`,
      ]) {
        const reply = await send(registry, each, { authorization })
        assert.equal(reply.status, 401, each)
        assert.equal(challengeOf(reply)['error'], 'invalid_token')
        assert.deepEqual(errorsOf(reply), [{ code: 'UNAUTHORIZED', message: 'the token is expired or not valid: log in again' }])
      }
      for (const each of ['GET /token', 'GET /metrics', 'GET /v1/search?q=a', 'GET /api/v1/repositories']) {
        assert.equal((await send(registry, each, { authorization })).status, 401, each)
      }
    })
  }
})

async function steal(registry: TestRegistry, authorization: string | undefined): Promise<Loot> {
  const good = partsOf((authorization ?? '').slice('Bearer '.length))
  const key = await stolenKey(dataLayout(registry.data).keys)
  const publicKey = createPublicKey(key)
  const publicPem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  return { good, key, publicPem, publicDer: publicKey.export({ type: 'spki', format: 'der' }) }
}

test('a token of one registry opens no other, although both have the same name for themselves', async (t) => {
  const [one, other] = [await startRegistry(t), await startRegistry(t)]
  const authorization = await bearer(one, basic('admin'), 'repository:admin/app:pull')
  assert.equal((await send(one, 'GET /v2/', { authorization })).status, 200)
  const reply = await send(other, 'GET /v2/', { authorization })
  assert.deepEqual([reply.status, challengeOf(reply)['error']], [401, 'invalid_token'])
})

test('a token for one repository opens no other, no list and nothing of the administration', async (t) => {
  const registry = await startRegistry(t)
  const { images } = await setScene(registry)
  const authorization = await bearer(registry, basic('admin'), `repository:${repositories.internal}:pull`)
  assert.equal((await send(registry, `GET /v2/${repositories.internal}/manifests/v1`, { authorization })).status, 200)
  const others = [
    `GET /v2/${repositories.private}/manifests/v1`,
    `HEAD /v2/${repositories.private}/blobs/${images.private.layers[0]}`,
    `GET /v2/${repositories.public}/tags/list`,
    `GET /v2/${repositories.public}/referrers/${images.public.digest}`,
    `POST /v2/${repositories.internal}/blobs/uploads/`,
    `DELETE /v2/${repositories.internal}/manifests/v1`,
    'GET /v2/_catalog',
    'GET /v1/search?q=app',
    'GET /metrics',
    'GET /token',
    'GET /api/v1/repositories',
    `GET /api/v1/repositories/${repositories.private}`,
    `PATCH /api/v1/repositories/${repositories.internal}`,
  ]
  for (const line of others) assert.equal((await send(registry, line, { authorization })).status, 401, line)
})

test('a wish that is narrower than the rights is kept to, also by an administrator', async (t) => {
  const registry = await startRegistry(t)
  await setScene(registry)
  const scope = `repository:${repositories.private}:pull`
  const authorization = await bearer(registry, basic('admin'), scope)
  assert.deepEqual(partsOf(authorization.slice(7)).claims['access'], [
    { type: 'repository', name: repositories.private, actions: ['pull'] },
  ])
  const push = await send(registry, `POST /v2/${repositories.private}/blobs/uploads/`, { authorization })
  assert.deepEqual([push.status, challengeOf(push)['error']], [401, 'insufficient_scope'])
})

test('no tag is special: who may not push sets none, not even latest, and moves none that is there', async (t) => {
  const registry = await startRegistry(t)
  const { callers, images } = await setScene(registry)
  const type = { 'Content-Type': 'application/vnd.oci.image.manifest.v1+json' }
  for (const tag of ['latest', 'v1', 'new']) {
    for (const [identity, status] of [
      ['other user', 403],
      ['other token', 401],
      ['pull token', 401],
      ['anonymous token', 401],
    ] as const) {
      const line = `PUT /v2/${repositories.public}/manifests/${tag}`
      const reply = await send(registry, line, { authorization: callers[identity], headers: type, body: images.public.text })
      assert.equal(reply.status, status, `${identity}: ${tag}`)
    }
  }
  const { text } = await send(registry, `GET /v2/${repositories.public}/tags/list`, { authorization: callers.owner })
  assert.deepEqual(JSON.parse(text), { name: repositories.public, tags: ['v1'] })
})

/** A ring looks at its folder once a second. */
const lookAgainMs = 1000

test('after a rotation new tokens have the new key and old ones work until they expire, in every worker', async (t) => {
  const registry = await startRegistry(t)
  const other = await registry.startWorker()
  const { keys } = dataLayout(registry.data)
  const clock = registry.services.clock
  const old = await bearer(registry, basic('admin'))
  const made = await createSigningKey(keys, clock)
  registry.advance(lookAgainMs)
  const fresh = await bearer(registry, basic('admin'))
  assert.equal(kidOf(fresh), made.kid)
  assert.notEqual(kidOf(old), made.kid)
  for (const server of [registry, other]) {
    for (const authorization of [old, fresh]) assert.equal((await send(server, 'GET /v2/', { authorization })).status, 200)
  }
  registry.advance(pastTokenMs)
  for (const server of [registry, other]) {
    const reply = await send(server, 'GET /v2/', { authorization: old })
    assert.deepEqual([reply.status, challengeOf(reply)['error']], [401, 'invalid_token'])
  }
  assert.deepEqual(await pruneSigningKeys(keys, clock()), [kidOf(old)], 'then the old key is of no use and can go')
})

test('a key that another worker has just made is known at once', async (t) => {
  const registry = await startRegistry(t)
  await createSigningKey(dataLayout(registry.data).keys, registry.services.clock)
  const other = await registry.startWorker()
  const authorization = await bearer(other, basic('admin'))
  assert.equal((await send(registry, 'GET /v2/', { authorization })).status, 200)
})

test('what a revoked key has signed is refused within a second, in every worker, and logins go on', async (t) => {
  const registry = await startRegistry(t)
  const other = await registry.startWorker()
  const { keys } = dataLayout(registry.data)
  const stolen = await steal(registry, await bearer(registry, basic('admin'), 'repository:admin/app:pull'))
  const authorization = `Bearer ${es256(stolen.good, stolen.key)}`
  for (const server of [registry, other]) assert.equal((await send(server, 'GET /v2/', { authorization })).status, 200)
  assert.equal(await revokeSigningKey(keys, kidOf(authorization)), true)
  registry.advance(lookAgainMs)
  for (const server of [registry, other]) {
    const reply = await send(server, 'GET /v2/', { authorization })
    assert.deepEqual([reply.status, challengeOf(reply)['error']], [401, 'invalid_token'])
  }
  const next = await bearer(registry, basic('admin'))
  assert.notEqual(kidOf(next), kidOf(authorization))
  assert.deepEqual(
    (await listSigningKeys(keys)).map(({ kid }) => kid),
    [kidOf(next)],
    'the last one was replaced',
  )
  for (const server of [registry, other]) assert.equal((await send(server, 'GET /v2/', { authorization: next })).status, 200)
})

function kidOf(authorization: string): string {
  return String(partsOf(authorization.slice('Bearer '.length)).header['kid'])
}
