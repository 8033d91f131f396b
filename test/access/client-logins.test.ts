/**
 * How real clients sign in, request by request: docker, podman, containerd; and what a token is worth while a request
 * that began with it is under way.
 */
import assert from 'node:assert/strict'
import { request, type ClientRequest } from 'node:http'
import { test } from 'node:test'
import { updateAccount } from '../../registry/accounts.ts'
import { adminPassword, startRegistry, type TestRegistry } from '../support/start-registry.ts'
import { basic, Client, emptyDigest, expectStatus, sha256 } from '../support/client.ts'
import { bearer, pastTokenMs, type TokenAnswer } from './callers.ts'
import { challengeOf, errorsOf, jsonOf, send } from './wire.ts'

test('docker login: the challenge, a token without a scope, and /v2/ with it', async (t) => {
  const registry = await startRegistry(t)
  await registry.addUser('alice')
  const ping = await send(registry, 'GET /v2/')
  assert.equal(ping.status, 401)
  const { realm = '', service = '', scope } = challengeOf(ping)
  assert.equal(scope, undefined)
  const query = `account=alice&client_id=docker&offline_token=true&service=${service}`
  const wrong = await send(registry, `GET ${new URL(realm).pathname}?${query}`, { authorization: basic('alice', 'mistyped it') })
  assert.equal(wrong.status, 401)
  assert.equal(errorsOf(wrong)[0]?.message, 'incorrect username or password')
  const answer = jsonOf(await send(registry, `GET ${new URL(realm).pathname}?${query}`, { authorization: basic('alice') })) as TokenAnswer
  const again = await send(registry, 'GET /v2/', { authorization: `Bearer ${answer.token}` })
  assert.deepEqual([again.status, again.text, again.headers['content-type']], [200, '{}', 'application/json'])
})

test('docker push: each refused request names the scope that the next token must cover, until all is pushed', async (t) => {
  const registry = await startRegistry(t)
  await registry.addUser('alice')
  const withTokens = new TokenClient(registry, basic('alice'))
  const image = await withTokens.push('alice/app')
  const other = await withTokens.pull('alice/app', 'v1')
  assert.deepEqual(sha256(other), image)
  assert.deepEqual(withTokens.scopes, ['repository:alice/app:pull', 'repository:alice/app:pull,push'], 'one token for each need')
})

test('docker pull without a login: a token for nobody opens what is public', async (t) => {
  const registry = await startRegistry(t)
  const { text } = await new Client(registry).pushImage('admin/app', 'v1')
  const stranger = new TokenClient(registry, undefined)
  await assert.rejects(stranger.pull('admin/app', 'v1'), /401.*log in to pull admin\/app/)
  await registry.setVisibility('admin/app', 'public')
  assert.equal(await stranger.pull('admin/app', 'v1'), text)
  await assert.rejects(stranger.push('admin/app'), /401.*log in to push to admin\/app/)
})

test('podman without a login sends empty Basic credentials, which are none', async (t) => {
  const registry = await startRegistry(t)
  const { text } = await new Client(registry).pushImage('admin/app', 'v1')
  await registry.setVisibility('admin/app', 'public')
  const empty = basic('', '')
  assert.equal(empty, 'Basic Og==')
  const ping = await send(registry, 'GET /v2/', { authorization: empty })
  assert.deepEqual([ping.status, challengeOf(ping)['error']], [401, undefined])
  assert.equal(await new TokenClient(registry, empty).pull('admin/app', 'v1'), text)
})

test('containerd posts the password form first and asks for all scopes of a copy at once', async (t) => {
  const registry = await startRegistry(t)
  await registry.addUser('alice')
  const alice = new Client(registry, basic('alice'))
  const image = await alice.pushImage('alice/app', 'v1')
  const form = new URLSearchParams({
    grant_type: 'password',
    service: 'lanyard',
    client_id: 'containerd-client',
    username: 'alice',
    password: adminPassword,
  })
  form.append('scope', 'repository:alice/app:pull repository:alice/copy:pull,push')
  const reply = await send(registry, 'POST /token', {
    headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
    body: form.toString(),
  })
  const { access_token: token } = jsonOf(reply) as TokenAnswer
  const mount = `POST /v2/alice/copy/blobs/uploads/?mount=${image.layers[0]}&from=alice/app`
  assert.equal((await send(registry, mount, { authorization: `Bearer ${token}` })).status, 201)
})

test('helm and curl send Basic to /v2/ and need no token at all', async (t) => {
  const registry = await startRegistry(t)
  assert.equal((await send(registry, 'GET /v2/', { authorization: basic('admin') })).status, 200)
  assert.equal((await send(registry, 'GET /v2/', { authorization: basic('admin', 'not it at all') })).status, 401)
})

test('a token counts when a request starts: an upload goes on although it expires meanwhile, and is finished with the next', async (t) => {
  const registry = await startRegistry(t)
  const scope = 'repository:admin/app:pull,push'
  const token = await bearer(registry, basic('admin'), scope)
  const location = await new Client(registry, token).startUpload('admin/app')
  const patch = await startPatch(registry, { location, token, first: 'the first half' })
  registry.advance(pastTokenMs)
  const expired = await send(registry, `GET ${location}`, { authorization: token })
  assert.deepEqual([expired.status, challengeOf(expired)['error']], [401, 'invalid_token'])
  patch.request.end(', the second half')
  assert.equal(await patch.status, 202)
  const next = await bearer(registry, basic('admin'), scope)
  const digest = sha256('the first half, the second half')
  assert.equal((await send(registry, `PUT ${location}?digest=${digest}`, { authorization: next })).status, 201)
})

test('an account that is disabled during its upload may not even finish it', async (t) => {
  const registry = await startRegistry(t)
  await registry.addUser('alice')
  const token = await bearer(registry, basic('alice'), 'repository:alice/app:pull,push')
  const location = await new Client(registry, token).startUpload('alice/app')
  const patch = await startPatch(registry, { location, token, first: 'bytes' })
  await updateAccount(registry.services.registry.database, 'alice', { isDisabled: true })
  patch.request.end()
  await patch.status
  for (const line of [
    `PUT ${location}?digest=${sha256('bytes')}`,
    `GET ${location}`,
    `DELETE ${location}`,
    `PUT ${location}?digest=${emptyDigest}`,
  ]) {
    for (const authorization of [token, basic('alice')]) {
      assert.equal((await send(registry, line, { authorization })).status, 401, line)
    }
  }
  await expectStatus(await new Client(registry).call('HEAD', `/v2/alice/app/blobs/${sha256('bytes')}`), 404)
})

interface OpenPatch {
  readonly request: ClientRequest
  readonly status: Promise<number>
}

/** A PATCH whose first bytes have been stored and whose end is still to come. */
async function startPatch(registry: TestRegistry, upload: { location: string; token: string; first: string }): Promise<OpenPatch> {
  const headers = { Authorization: upload.token, Expect: '100-continue', 'Transfer-Encoding': 'chunked' }
  const outgoing = request({ host: '127.0.0.1', port: registry.port, method: 'PATCH', path: upload.location, headers })
  const status = new Promise<number>((resolve, reject) => {
    outgoing.once('error', reject)
    outgoing.once('response', (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
  })
  // Only a request that has passed the gate is told to go on.
  await new Promise((resolve) => {
    outgoing.once('continue', resolve)
    outgoing.flushHeaders()
  })
  outgoing.write(upload.first)
  return { request: outgoing, status }
}

/** As docker's client: no credentials under /v2 but tokens, each fetched for what a challenge asked for. */
class TokenClient {
  readonly scopes: string[] = []
  readonly #server: TestRegistry
  readonly #credentials: string | undefined
  #token: string | undefined

  constructor(server: TestRegistry, credentials: string | undefined) {
    this.#server = server
    this.#credentials = credentials
  }

  async push(repository: string): Promise<string> {
    const config = '{"architecture":"amd64","os":"linux"}'
    await this.#call('HEAD', `/v2/${repository}/blobs/${sha256(config)}`)
    const { headers } = await this.#call('POST', `/v2/${repository}/blobs/uploads/`)
    await this.#call('PUT', `${headers.location}?digest=${sha256(config)}`, config)
    const type = 'application/vnd.oci.image.manifest.v1+json'
    const entry = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha256(config), size: config.length }
    const manifest = JSON.stringify({ schemaVersion: 2, mediaType: type, config: entry, layers: [] })
    const pushed = await this.#call('PUT', `/v2/${repository}/manifests/v1`, manifest)
    return String(pushed.headers['docker-content-digest'])
  }

  async pull(repository: string, reference: string): Promise<string> {
    return (await this.#call('GET', `/v2/${repository}/manifests/${reference}`)).text
  }

  async #call(method: string, path: string, body?: string) {
    const first = await send(this.#server, `${method} ${path}`, { authorization: this.#token, body })
    if (first.status !== 401) return first
    const { scope = '' } = challengeOf(first)
    if (this.#credentials !== undefined) this.scopes.push(scope)
    this.#token = await bearer(this.#server, this.#credentials, scope)
    const second = await send(this.#server, `${method} ${path}`, { authorization: this.#token, body })
    if (second.status === 401) throw new Error(`${second.status}: ${second.text}`)
    return second
  }
}
