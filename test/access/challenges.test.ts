/**
 * The rules of the challenge: what a 401 under /v2 looks like, on which address it points clients, and what it accepts
 * then. Source: the rules A1 to A13 that real clients need.
 */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { request as requestTls } from 'node:https'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { generate } from 'selfsigned'
import { basic, Client } from '../support/client.ts'
import { startRegistry } from '../support/start-registry.ts'
import { bearer, pastTokenMs, repositories, setScene } from './callers.ts'
import { challengeOf, errorsOf, jsonOf, send, sendBytes, valuesOf } from './wire.ts'

const wrongCredentials: readonly (readonly [string, string | undefined])[] = [
  ['no credentials', undefined],
  ['an empty header', ''],
  ['Basic with neither user nor password', basic('', '')],
  ['a wrong password', basic('admin', 'not it at all')],
  ['an unknown account', basic('nobody')],
  ['no password', basic('admin', '')],
  ['Basic that is not base64', 'Basic ***'],
  ['Basic without a colon', `Basic ${Buffer.from('admin').toString('base64')}`],
  ['Basic without anything', 'Basic'],
  ['Bearer without anything', 'Bearer'],
  ['Bearer that is no token', 'Bearer abc'],
  ['a scheme that is not ours', 'Negotiate YWJj'],
  ['only a token', 'eyJhbGciOiJub25lIn0.e30.'],
]

test('A1: without good credentials /v2/ is a challenge, although anyone may pull', async (t) => {
  const registry = await startRegistry(t, { settings: { REPOSITORIES_VISIBILITY: 'public' } })
  await new Client(registry).pushImage('admin/app', 'v1')
  for (const [title, authorization] of wrongCredentials) {
    await t.test(`A1: ${title}`, async () => {
      for (const line of ['GET /v2/', 'GET /v2', 'HEAD /v2/', 'GET /v2/admin/app/manifests/v1']) {
        const reply = await send(registry, line, { authorization })
        assert.equal(reply.status, 401, line)
        const { realm, service } = challengeOf(reply)
        assert.deepEqual([realm, service], [`${registry.url}/token`, 'lanyard'])
        assert.equal(reply.headers['docker-distribution-api-version'], 'registry/2.0')
      }
    })
  }
})

test('A2: anonymous callers pull what is public with a token that they get without credentials', async (t) => {
  const registry = await startRegistry(t)
  await setScene(registry)
  const token = await bearer(registry, undefined, `repository:${repositories.public}:pull`)
  assert.equal((await send(registry, 'GET /v2/', { authorization: token })).status, 200)
  assert.equal((await send(registry, `GET /v2/${repositories.public}/manifests/v1`, { authorization: token })).status, 200)
  assert.equal((await send(registry, `GET /v2/${repositories.internal}/manifests/v1`, { authorization: token })).status, 401)
})

const scopes: readonly (readonly [string, string | undefined])[] = [
  ['GET /v2/', undefined],
  ['GET /v2/_oci/ext/discover', undefined],
  ['GET /v2/_catalog', 'registry:catalog:*'],
  ['HEAD /v2/a/b/manifests/v1', 'repository:a/b:pull'],
  ['GET /v2/a/b/tags/list', 'repository:a/b:pull'],
  ['PUT /v2/a/b/manifests/v1', 'repository:a/b:pull,push'],
  ['POST /v2/a/b/blobs/uploads/', 'repository:a/b:pull,push'],
  ['POST /v2/a/b/blobs/uploads', 'repository:a/b:pull,push'],
  ['DELETE /v2/a/b/blobs/uploads/1', 'repository:a/b:pull,push'],
  ['DELETE /v2/a/b/manifests/v1', 'repository:a/b:delete'],
  ['GET /v2/blobs/tags/list/manifests/v1', 'repository:blobs/tags/list:pull'],
]

test('A3, A4: a challenge is one line of quoted values, with the scope that the request needs', async (t) => {
  const registry = await startRegistry(t)
  for (const [line, scope] of scopes) {
    await t.test(`A3, A4: ${line} needs ${scope ?? 'no scope'}`, async () => {
      const reply = await send(registry, line)
      assert.equal(reply.status, 401)
      const value = `Bearer realm="${registry.url}/token",service="lanyard"${scope === undefined ? '' : `,scope="${scope}"`}`
      assert.deepEqual(valuesOf(reply, 'WWW-Authenticate'), [value])
      if (!line.startsWith('HEAD')) assert.equal(errorsOf(reply)[0]?.code, 'UNAUTHORIZED')
    })
  }
})

test('A4: a mount that needs a second scope names both in one value', async (t) => {
  const registry = await startRegistry(t)
  const { callers, images } = await setScene(registry)
  const line = `POST /v2/bob/copy/blobs/uploads/?mount=${images.public.layers[0]}&from=${repositories.public}`
  const authorization = await bearer(registry, callers['other user'], 'repository:bob/copy:pull,push')
  const reply = await send(registry, line, { authorization })
  assert.equal(reply.status, 401)
  assert.equal(challengeOf(reply)['scope'], `repository:bob/copy:pull,push repository:${repositories.public}:pull`)
})

test('A5: a token that is of no use is told why: expired and forged are invalid, too narrow is insufficient', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  const errorFor = async (authorization: string | undefined): Promise<string | undefined> => {
    const reply = await send(registry, `HEAD /v2/${repositories.private}/manifests/v1`, { authorization })
    assert.equal(reply.status, 401)
    return challengeOf(reply)['error']
  }
  assert.equal(await errorFor(undefined), undefined)
  assert.equal(await errorFor(callers['wrong password']), undefined)
  assert.equal(await errorFor(callers['expired token']), 'invalid_token')
  assert.equal(await errorFor(callers['forged token']), 'invalid_token')
  assert.equal(await errorFor(callers['token of a changed account']), 'invalid_token')
  assert.equal(await errorFor(callers['token for elsewhere']), 'insufficient_scope')
  assert.equal(await errorFor(callers['anonymous token']), 'insufficient_scope')
})

test('A6: a token that lacks the scope is asked for another, an account that lacks the right is refused', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  const ask = (authorization: string | undefined) => send(registry, `GET /v2/${repositories.private}/tags/list`, { authorization })
  const narrow = await ask(callers['token for elsewhere'])
  assert.deepEqual([narrow.status, challengeOf(narrow)['scope']], [401, `repository:${repositories.private}:pull`])
  const denied = await ask(callers['other user'])
  assert.deepEqual([denied.status, errorsOf(denied)[0]?.code, valuesOf(denied, 'WWW-Authenticate')], [403, 'DENIED', []])
})

const forwarding = { 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'registry.example.com' }

interface Called {
  readonly title: string
  readonly headers: Record<string, string>
  readonly origin: string
}

const origins: readonly { who: string; settings: Record<string, string>; calls: readonly Called[] }[] = [
  {
    who: 'without a proxy',
    settings: {},
    calls: [
      { title: 'the host that was called', headers: { Host: 'registry.lan:5000' }, origin: 'http://registry.lan:5000' },
      { title: 'the host without a port', headers: { Host: 'registry.lan' }, origin: 'http://registry.lan' },
      { title: 'an IPv6 address', headers: { Host: '[::1]:5000' }, origin: 'http://[::1]:5000' },
      { title: 'no forwarded host of a stranger', headers: { Host: 'registry.lan', ...forwarding }, origin: 'http://registry.lan' },
    ],
  },
  {
    who: 'with a proxy elsewhere',
    settings: { TRUSTED_PROXIES: '10.0.0.0/8,::1' },
    calls: [{ title: 'no forwarded host of another', headers: { Host: 'registry.lan', ...forwarding }, origin: 'http://registry.lan' }],
  },
  {
    who: 'behind a trusted proxy',
    settings: { TRUSTED_PROXIES: '127.0.0.0/8' },
    calls: [
      { title: 'what it forwards', headers: { Host: '10.0.0.7:8080', ...forwarding }, origin: 'https://registry.example.com' },
      {
        title: 'the scheme alone, when it keeps the host',
        headers: { Host: 'registry.example.com', 'X-Forwarded-Proto': 'https' },
        origin: 'https://registry.example.com',
      },
      {
        title: 'the first of several forwarded values',
        headers: { Host: 'inner', 'X-Forwarded-Proto': 'https, http', 'X-Forwarded-Host': 'outer.example, inner' },
        origin: 'https://outer.example',
      },
      {
        title: 'nothing from Forwarded, which is not read',
        headers: { Host: 'registry.lan', Forwarded: 'host=evil.example;proto=https' },
        origin: 'http://registry.lan',
      },
      { title: 'what was called, when it forwards nothing', headers: { Host: 'registry.lan' }, origin: 'http://registry.lan' },
    ],
  },
  {
    who: 'with an external URL',
    settings: { EXTERNAL_URL: 'https://registry.example.com', TRUSTED_PROXIES: '127.0.0.1' },
    calls: [
      {
        title: 'that, whatever was called and forwarded',
        headers: { Host: 'evil.example', 'X-Forwarded-Host': 'evil.example', 'X-Forwarded-Proto': 'http' },
        origin: 'https://registry.example.com',
      },
    ],
  },
]

for (const { who, settings, calls } of origins) {
  test(`A7: the realm is on the address that the client called, ${who}`, async (t) => {
    const registry = await startRegistry(t, { settings })
    for (const { title, headers, origin } of calls) {
      await t.test(`A7: ${who}, the realm is on ${title}`, async () => {
        for (const line of ['GET /v2/', 'HEAD /v2/a/b/manifests/v1']) {
          assert.equal(challengeOf(await send(registry, line, { headers }))['realm'], `${origin}/token`)
        }
        const upload = await send(registry, 'POST /v2/admin/app/blobs/uploads/', { authorization: basic('admin'), headers })
        assert.match(upload.headers.location ?? '', /^\/v2\/admin\/app\/blobs\/uploads\/[0-9a-f-]{36}$/, 'a location has no host at all')
      })
    }
  })
}

test('A7: over TLS the realm is https', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'lanyard-tls-'))
  t.after(() => rm(folder, { recursive: true }))
  const { cert, private: key } = await generate([{ name: 'commonName', value: 'localhost' }], { keyType: 'ec' })
  await writeFile(join(folder, 'cert.pem'), cert)
  await writeFile(join(folder, 'key.pem'), key)
  const registry = await startRegistry(t, { settings: { TLS_CERTIFICATE: join(folder, 'cert.pem'), TLS_KEY: join(folder, 'key.pem') } })
  const ca = await readFile(join(folder, 'cert.pem'))
  const challenge = await new Promise((resolve, reject) => {
    const headers = { Host: `localhost:${registry.port}` }
    const outgoing = requestTls(
      { host: '127.0.0.1', port: registry.port, path: '/v2/', ca, servername: 'localhost', headers },
      (response) => {
        response.resume()
        resolve(response.headers['www-authenticate'])
      },
    )
    outgoing.once('error', reject).end()
  })
  assert.equal(challenge, `Bearer realm="https://localhost:${registry.port}/token",service="lanyard"`)
})

const badHosts = ['a"b', 'a b', 'a/b', 'a,b', 'user@host', 'host:port', 'host:123456', '[::1', '-a', '']

test('A7: a Host that is none is refused and stands in no header', async (t) => {
  const registry = await startRegistry(t)
  for (const host of badHosts) {
    const answer = await sendBytes(registry, `GET /v2/ HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
    assert.match(answer, /^HTTP\/1\.1 400 /, host)
    assert.doesNotMatch(answer, /www-authenticate/i)
  }
})

test('A7: a host that a trusted proxy forwards is refused as well when it is none', async (t) => {
  const registry = await startRegistry(t, { settings: { TRUSTED_PROXIES: '127.0.0.1' } })
  for (const headers of [{ 'X-Forwarded-Host': 'a",error="x' }, { 'X-Forwarded-Host': 'a/b' }, { 'X-Forwarded-Proto': 'javascript' }]) {
    const reply = await send(registry, 'GET /v2/', { headers })
    assert.deepEqual([reply.status, valuesOf(reply, 'WWW-Authenticate')], [400, []])
  }
})

test('A8: an endpoint challenges by itself: nobody has to ask /v2/ first', async (t) => {
  const registry = await startRegistry(t)
  const first = await send(registry, 'HEAD /v2/admin/app/manifests/v1')
  assert.equal(first.status, 401)
  const { realm = '', service = '', scope = '' } = challengeOf(first)
  const query = `service=${encodeURIComponent(service)}&scope=${encodeURIComponent(scope)}`
  const answer = await send(registry, `GET ${new URL(realm).pathname}?${query}`, { authorization: basic('admin') })
  const { token } = jsonOf(answer) as { token: string }
  assert.equal((await send(registry, 'HEAD /v2/admin/app/manifests/v1', { authorization: `Bearer ${token}` })).status, 404)
})

test('A9: a 401 on HEAD ends after its headers, and the next request on the connection is read', async (t) => {
  const registry = await startRegistry(t)
  const head = `HEAD /v2/a/b/manifests/v1 HTTP/1.1\r\nHost: ${registry.host}\r\n`
  const answers = await sendBytes(registry, `${head}\r\n${head}Connection: close\r\n\r\n`)
  const parts = answers.split('\r\n\r\n')
  assert.equal(parts.length, 3)
  assert.equal(parts[2], '', 'no body')
  for (const part of parts.slice(0, 2)) {
    assert.match(part, /^HTTP\/1\.1 401 /)
    assert.match(part, /\r\nWWW-Authenticate: Bearer realm="/)
    assert.match(part, /\r\nContent-Length: [1-9]/, 'the length that GET would have')
  }
})

test('A10: Basic works under /v2, although it is never advertised', async (t) => {
  const registry = await startRegistry(t)
  const admin = new Client(registry, basic('admin'))
  const { digest } = await admin.pushImage('admin/app', 'v1')
  assert.equal((await admin.call('GET', '/v2/')).status, 200)
  assert.equal((await admin.call('GET', `/v2/admin/app/manifests/${digest}`)).status, 200)
  assert.equal((await admin.call('DELETE', `/v2/admin/app/manifests/${digest}`)).status, 202)
})

test('A11: the word for the scheme may be written in any case', async (t) => {
  const registry = await startRegistry(t)
  const written = {
    [basic('admin')]: ['Basic', 'basic', 'BASIC', 'bAsIc'],
    [await bearer(registry, basic('admin'))]: ['Bearer', 'bearer', 'BEARER', 'bEARER'],
  }
  for (const [header, schemes] of Object.entries(written)) {
    for (const scheme of schemes.flatMap((each) => [`${each} `, `${each}   `])) {
      const reply = await send(registry, 'GET /v2/', { authorization: scheme + header.split(' ')[1] })
      assert.deepEqual([reply.status, reply.text], [200, '{}'], scheme)
    }
  }
})

test('A13: nothing under /v2 and nothing about tokens is answered with a redirect', async (t) => {
  const registry = await startRegistry(t)
  const { images } = await setScene(registry)
  const layer = images.private.layers[0]
  const paths = ['/v2', '/v2/', '/v2?x=1', '/v2/?x=1', '/v2//', '/v2/_catalog', '/v2/_catalog/', '/token', '/token/', '/token?a=b']
  const named = ['manifests/v1', 'manifests/v1/', `blobs/${layer}`, 'blobs/uploads', 'blobs/uploads/', 'tags/list', 'tags/list/']
  for (const path of [...paths, ...named.map((rest) => `/v2/${repositories.private}/${rest}`)]) {
    for (const method of ['GET', 'HEAD', 'POST']) {
      for (const authorization of [undefined, basic('alice')]) {
        const reply = await send(registry, `${method} ${path}`, { authorization })
        assert.ok(reply.status < 300 || reply.status >= 400, `${reply.status} for ${method} ${path}`)
      }
    }
  }
})

test('a refusal comes before the body is asked for: Expect: 100-continue gets 401 and never 100', async (t) => {
  const registry = await startRegistry(t)
  const statuses = await new Promise<number[]>((resolve, reject) => {
    const seen: number[] = []
    const outgoing = request({
      host: '127.0.0.1',
      port: registry.port,
      method: 'PUT',
      path: '/v2/a/b/manifests/v1',
      headers: { Expect: '100-continue', 'Content-Length': '1000' },
    })
    outgoing.on('continue', () => seen.push(100))
    outgoing.on('response', (response) => {
      response.resume()
      seen.push(response.statusCode ?? 0)
      outgoing.destroy()
      resolve(seen)
    })
    outgoing.once('error', reject)
    outgoing.flushHeaders()
  })
  assert.deepEqual(statuses, [401])
})

test('an expired token is challenged for the same scope again, and the next token works', async (t) => {
  const registry = await startRegistry(t)
  await new Client(registry).pushImage('admin/app', 'v1')
  const scope = 'repository:admin/app:pull'
  const first = await bearer(registry, basic('admin'), scope)
  const line = 'GET /v2/admin/app/manifests/v1'
  assert.equal((await send(registry, line, { authorization: first })).status, 200)
  registry.advance(pastTokenMs)
  const expired = await send(registry, line, { authorization: first })
  assert.equal(expired.status, 401)
  assert.deepEqual([challengeOf(expired)['error'], challengeOf(expired)['scope']], ['invalid_token', scope])
  assert.equal((await send(registry, line, { authorization: await bearer(registry, basic('admin'), scope) })).status, 200)
})
