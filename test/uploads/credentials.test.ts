/**
 * Credentials that end while an upload goes on. A token is looked at when a request starts: one that expires ends nothing that
 * runs, and a new one goes on with the session. One whose account was switched off opens nothing from then on.
 */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { removeAccount, updateAccount } from '../../registry/accounts.ts'
import { adminPassword, startRegistry, type TestRegistry } from '../support/start-registry.ts'
import { basic, Client, sha256, type Answer } from '../support/client.ts'
import { eventually } from '../support/eventually.ts'
import { RawConnection, requestHead } from '../support/raw-connection.ts'
import { assertBlob, assertNoBlob, assertNoUploads } from '../support/store-contents.ts'
import { assertRefused, Upload } from '../support/upload.ts'

const content = 'the bytes of a blob that takes its time'
const [head, tail] = [content.slice(0, 12), content.slice(12)]
const digest = sha256(content)
const tokenSeconds = 60
/** Beyond a token's life and the minute by which clocks may differ. */
const untilExpiredMs = (tokenSeconds + 61) * 1000

/** @returns what an Authorization header says with a new token. */
async function bearerOf(registry: TestRegistry, login = basic('alice')): Promise<string> {
  const answer = await new Client(registry, login).call('GET', '/token?scope=repository:alice/app:pull,push')
  assert.equal(answer.status, 200)
  return `Bearer ${(JSON.parse(answer.bytes.toString()) as { token: string }).token}`
}

async function start(t: Parameters<typeof startRegistry>[0]): Promise<TestRegistry> {
  const registry = await startRegistry(t, { settings: { AUTH_TOKEN_SECONDS: String(tokenSeconds) } })
  await registry.addUser('alice')
  return registry
}

/** Runs `meanwhile` in the middle of a PATCH or PUT that is sent with these credentials. */
async function sendAround(
  registry: TestRegistry,
  request: { method: string; path: string; authorization: string; body: string },
  meanwhile: () => Promise<void> | void,
): Promise<number> {
  const connection = await RawConnection.open(registry)
  const { method, path, authorization, body } = request
  const headers = { Authorization: authorization, 'Content-Length': String(body.length) }
  await connection.send(requestHead({ method, path, headers }))
  await connection.send(body.slice(0, 5))
  await eventually(() => registry.services.registry.writing.count === 1, 'the request to arrive')
  await meanwhile()
  await connection.send(body.slice(5))
  const { status } = await connection.answer()
  connection.cut()
  return status
}

/** What every request on the session is told. */
function allRequests(upload: Upload): Promise<Answer[]> {
  return Promise.all([upload.status(), upload.stream('x'), upload.finish(digest), upload.cancel()])
}

suite('a token that expires during an upload', () => {
  test('in the middle of a PATCH does not end it; the closing request needs a new one, and works with it', async (t) => {
    const registry = await start(t)
    const authorization = await bearerOf(registry)
    const upload = await Upload.start(new Client(registry, authorization), 'alice/app')
    const patch = { method: 'PATCH', path: upload.location, authorization, body: content }
    assert.equal(await sendAround(registry, patch, () => registry.advance(untilExpiredMs)), 202)
    for (const answer of await allRequests(upload)) {
      assertRefused(answer, 401, 'UNAUTHORIZED')
      assert.match(
        answer.headers.get('WWW-Authenticate') ?? '',
        /^Bearer realm=".*",service="lanyard",scope="repository:alice\/app:pull,push",error="invalid_token",error_description="[^"]+"$/,
      )
    }
    const renewed = upload.as(new Client(registry, await bearerOf(registry)))
    assert.equal(await renewed.bytesStored(), content.length)
    assert.equal((await renewed.finish(digest)).status, 201)
    await assertBlob(registry, 'alice/app', content)
    await assertNoUploads(registry)
  })

  test('in the middle of the closing request does not end it', async (t) => {
    const registry = await start(t)
    const authorization = await bearerOf(registry)
    const upload = await Upload.start(new Client(registry, authorization), 'alice/app')
    assert.equal((await upload.stream(head)).status, 202)
    const put = { method: 'PUT', path: `${upload.location}?digest=${digest}`, authorization, body: tail }
    assert.equal(await sendAround(registry, put, () => registry.advance(untilExpiredMs)), 201)
    await assertBlob(registry, 'alice/app', content)
    await assertNoUploads(registry)
  })

  test('between two chunks costs a new token, and no bytes', async (t) => {
    const registry = await start(t)
    let upload = await Upload.start(new Client(registry, await bearerOf(registry)), 'alice/app')
    let renewals = 0
    for (const [index, character] of Array.from(content).entries()) {
      const answer = await upload.chunk(character, index)
      if (answer.status === 401) {
        upload = upload.as(new Client(registry, await bearerOf(registry)))
        assert.equal((await upload.chunk(character, index)).status, 202)
        renewals++
      } else {
        assert.equal(answer.status, 202)
      }
      if (index % 10 === 9) registry.advance(untilExpiredMs)
    }
    assert.equal(renewals, Math.floor((content.length - 1) / 10))
    upload = upload.as(new Client(registry, basic('alice')))
    assert.equal((await upload.finish(digest)).status, 201)
    await assertBlob(registry, 'alice/app', content)
  })
})

suite('an account that ends during an upload', () => {
  const endings: readonly (readonly [what: string, end: (registry: TestRegistry) => Promise<void>])[] = [
    ['is switched off', (registry) => updateAccount(registry.services.registry.database, 'alice', { isDisabled: true })],
    ['is removed', (registry) => removeAccount(registry.services.registry.database, 'alice')],
  ]
  for (const [what, end] of endings) {
    test(`gets 401 from the next request on, with password and token alike, when it ${what}`, async (t) => {
      const registry = await start(t)
      for (const authorization of [basic('alice'), await bearerOf(registry)]) {
        const upload = await Upload.start(new Client(registry, authorization), 'alice/app')
        assert.equal((await upload.stream(content)).status, 202)
      }
      const token = await bearerOf(registry)
      const upload = await Upload.start(new Client(registry, token), 'alice/app')
      assert.equal((await upload.stream(content)).status, 202)
      await end(registry)
      for (const authorization of [token, basic('alice')]) {
        for (const answer of await allRequests(upload.as(new Client(registry, authorization)))) assertRefused(answer, 401, 'UNAUTHORIZED')
      }
      await assertNoBlob(registry, 'alice/app', digest)
    })

    test(`in the middle of a PATCH: nothing becomes visible when it ${what}`, async (t) => {
      const registry = await start(t)
      const authorization = await bearerOf(registry)
      const upload = await Upload.start(new Client(registry, authorization), 'alice/app')
      await sendAround(registry, { method: 'PATCH', path: upload.location, authorization, body: content }, () => end(registry))
      for (const answer of await allRequests(upload)) assertRefused(answer, 401, 'UNAUTHORIZED')
      await assertNoBlob(registry, 'alice/app', digest)
    })
  }

  test('goes on with its session when it is switched on again, but not with its old token', async (t) => {
    const registry = await start(t)
    const old = await bearerOf(registry)
    const upload = await Upload.start(new Client(registry, old), 'alice/app')
    assert.equal((await upload.stream(head)).status, 202)
    const { database } = registry.services.registry
    await updateAccount(database, 'alice', { isDisabled: true })
    await updateAccount(database, 'alice', { isDisabled: false })
    assertRefused(await upload.status(), 401, 'UNAUTHORIZED')
    const renewed = upload.as(new Client(registry, await bearerOf(registry)))
    assert.equal(await renewed.bytesStored(), head.length)
    assert.equal((await renewed.finish(digest, { body: tail })).status, 201)
    await assertBlob(registry, 'alice/app', content)
  })

  test('has its old token and password refused when the password is changed, and goes on with the new one', async (t) => {
    const registry = await start(t)
    const old = await bearerOf(registry)
    const upload = await Upload.start(new Client(registry, old), 'alice/app')
    assert.equal((await upload.stream(head)).status, 202)
    const passwordHash = await registry.services.passwords.hash('another good password')
    await updateAccount(registry.services.registry.database, 'alice', { passwordHash })
    for (const authorization of [old, basic('alice', adminPassword)]) {
      assertRefused(await upload.as(new Client(registry, authorization)).stream(tail), 401, 'UNAUTHORIZED')
    }
    const renewed = upload.as(new Client(registry, basic('alice', 'another good password')))
    assert.equal((await renewed.finish(digest, { body: tail })).status, 201)
    await assertBlob(registry, 'alice/app', content)
  })

  test('cannot be followed into its session by an account that is made in its place', async (t) => {
    const registry = await start(t)
    const upload = await Upload.start(new Client(registry, basic('alice')), 'alice/app')
    assert.equal((await upload.stream(head)).status, 202)
    await removeAccount(registry.services.registry.database, 'alice')
    await registry.addUser('alice')
    const successor = upload.as(new Client(registry, basic('alice')))
    assertRefused(await successor.status(), 404, 'BLOB_UPLOAD_UNKNOWN')
    assertRefused(await successor.finish(sha256(head)), 404, 'BLOB_UPLOAD_UNKNOWN')
  })
})
