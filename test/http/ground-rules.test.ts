/** What holds for every answer under /v2, whatever it is about: headers, lengths, methods, errors, no redirects. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { endpoints, type EndpointName } from '../../oci/endpoints.ts'
import { basic, Client, emptyDigest, sha256 } from '../support/client.ts'
import { codeOf, exchangeBytes, headerOf, parseAnswer, rawRequest, type RawAnswer } from '../support/raw-request.ts'
import { checkRow, runTable, type Row } from '../support/request-table.ts'
import { startRegistry } from '../support/start-registry.ts'

const authorization = `Authorization: ${basic('admin')}`
const absent = `sha256:${'0'.repeat(64)}`

/** One path of every endpoint, with the method of its table that is looked at first. */
const samplePaths: Readonly<Record<EndpointName, string>> = {
  base: '/v2/',
  catalog: '/v2/_catalog',
  extensions: '/v2/_oci/ext/discover',
  uploads: '/v2/team/app/blobs/uploads/',
  upload: '/v2/team/app/blobs/uploads/00000000-0000-4000-8000-000000000000',
  blob: `/v2/team/app/blobs/${absent}`,
  manifest: '/v2/team/app/manifests/v1',
  tags: '/v2/team/app/tags/list',
  referrers: `/v2/team/app/referrers/${absent}`,
}

const allMethods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND']

/** Headers that may differ from one answer to the next. */
function comparable(answer: RawAnswer): [string, readonly string[]][] {
  return [...answer.headers].filter(([name]) => name !== 'date' && name !== 'x-request-id').toSorted(([a], [b]) => (a < b ? -1 : 1))
}

test('every answer under /v2 keeps the ground rules', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  const image = await client.pushImage('team/app', 'v1')
  const session = await client.startUpload('team/app')

  const answered: readonly (readonly [what: string, path: string, status: number])[] = [
    ['the base', '/v2/', 200],
    ['the base without its slash', '/v2', 200],
    ['the base with a query', '/v2?service=x', 200],
    ['the catalog', '/v2/_catalog', 200],
    ['the list of extensions', '/v2/_oci/ext/discover', 200],
    ['the status of an upload', session, 204],
    ['a blob', `/v2/team/app/blobs/${image.config}`, 200],
    ['a manifest by tag', '/v2/team/app/manifests/v1', 200],
    ['a manifest by digest', `/v2/team/app/manifests/${image.digest}`, 200],
    ['the tags', '/v2/team/app/tags/list', 200],
    ['the referrers', `/v2/team/app/referrers/${image.digest}`, 200],
    ['an absent blob', `/v2/team/app/blobs/${absent}`, 404],
    ['an absent manifest', '/v2/team/app/manifests/none', 404],
    ['an absent upload', samplePaths.upload, 404],
    ['the tags of an absent repository', '/v2/team/none/tags/list', 404],
    ['an invalid name', '/v2/Team/tags/list', 400],
    ['an invalid digest', '/v2/team/app/blobs/sha256:0', 400],
    ['a path that is no endpoint', '/v2/team/app/nothing', 404],
    ['a malformed percent sequence', '/v2/team/%zz/tags/list', 400],
  ]

  for (const [what, path, status] of answered) {
    await t.test(`HEAD of ${what} is its GET without a body`, async () => {
      const got = await rawRequest(registry.port, { path, headers: [authorization] })
      const head = await rawRequest(registry.port, { method: 'HEAD', path, headers: [authorization] })
      assert.equal(got.status, status)
      assert.equal(head.status, status)
      assert.deepEqual(comparable(head), comparable(got))
      assert.equal(head.body.length, 0)
      if (status === 204) assert.equal(got.headers.has('content-length'), false)
      else assert.equal(got.body.length, Number(headerOf(got, 'Content-Length')))
    })
  }

  await t.test('the base answers {} as JSON', async () => {
    await checkRow(registry, { rule: '', path: '/v2/', status: 200, json: {}, gives: { 'Content-Type': 'application/json' } })
  })

  await t.test('without credentials GET and HEAD of every path are asked for them alike', async () => {
    for (const [, path, status] of answered) {
      if (status === 400 || path.endsWith('/nothing')) continue
      for (const method of ['GET', 'HEAD'] as const) {
        const gives = { 'WWW-Authenticate': /^Bearer realm="http:\/\/127\.0\.0\.1:\d+\/token",service="lanyard"/ }
        await checkRow(registry, { rule: '', method, path, as: null, status: 401, gives })
      }
    }
  })

  await runTable(t, registry, [
    ...answered.map<Row>(([what, path, status]) => ({
      rule: `${what} is never compressed, whatever the client would take`,
      path,
      headers: { 'Accept-Encoding': 'gzip, deflate, br, zstd' },
      status,
      gives: { 'Content-Encoding': null, Vary: null },
    })),
    ...answered.map<Row>(([what, path, status]) => ({
      rule: `${what} does not mind parameters and headers that nobody knows`,
      path: `${path}${path.includes('?') ? '&' : '?'}ns=docker.io&origin=x&state=1&client_id=docker&digest%5B%5D=%zz`,
      headers: { 'X-Forwarded-Host': 'evil.example', 'Docker-Distribution-API-Version': 'registry/2.0', 'X-Unknown': 'yes' },
      status,
    })),
  ])
})

test('methods', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  const image = await client.pushImage('team/app', 'v1')

  for (const [name, { path, methods }] of Object.entries(endpoints) as [EndpointName, (typeof endpoints)[EndpointName]][]) {
    const allowed = Object.keys(methods)
    await t.test(`${path} answers 405 to every method but ${allowed.join(', ')}, and names these`, async () => {
      for (const method of allMethods.filter((each) => !allowed.includes(each))) {
        for (const headers of [[authorization], []]) {
          const answer = await rawRequest(registry.port, { method, path: samplePaths[name], headers })
          assert.equal(answer.status, 405, method)
          assert.equal(headerOf(answer, 'Allow'), allowed.join(', '))
          assert.equal(headerOf(answer, 'Docker-Distribution-Api-Version'), 'registry/2.0')
          assert.equal(answer.body.length, method === 'HEAD' ? 0 : Number(headerOf(answer, 'Content-Length')))
          if (method !== 'HEAD') assert.equal(codeOf(answer), 'UNSUPPORTED')
        }
      }
    })
  }

  await t.test('a header or parameter that names another method changes nothing', async () => {
    const path = `/v2/team/app/manifests/${image.digest}`
    for (const name of ['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override']) {
      await checkRow(registry, {
        rule: '',
        path: `${path}?_method=DELETE`,
        headers: { [name]: 'DELETE' },
        status: 200,
        content: image.text,
      })
    }
    await checkRow(registry, { rule: '', path, status: 200 })
  })

  for (const method of ['FOO', 'get']) {
    await t.test(`the method ${method}, which HTTP does not know, is 400 and ends the connection`, async () => {
      const answer = await rawRequest(registry.port, { method, path: '/v2/' })
      assert.equal(answer.status, 400)
      assert.equal(codeOf(answer), 'UNSUPPORTED')
    })
  }

  await t.test('an offer to upgrade the protocol is passed over', async () => {
    const lines = ['GET /v2/ HTTP/1.1', `Host: ${registry.host}`, authorization, 'Connection: close, Upgrade', 'Upgrade: h2c', '', '']
    const answer = parseAnswer(await exchangeBytes(registry.port, lines.join('\r\n')))
    assert.equal(answer.status, 200)
    assert.equal(answer.body.toString(), '{}')
  })
})

test('headers of answers', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  const image = await client.pushImage('team/app', 'v1')
  await client.pushImage('team/app', 'v2')

  await t.test('Link and Location stay on this origin: they are paths', async () => {
    const tags = await client.call('GET', '/v2/team/app/tags/list?n=1')
    const catalog = await client.call('PUT', `/v2/team/app/manifests/v3`, {
      body: image.text,
      headers: { 'Content-Type': image.manifest.mediaType },
    })
    const upload = await client.call('POST', '/v2/team/app/blobs/uploads/')
    assert.match(tags.headers.get('Link') ?? '', /^<\/v2\/team\/app\/tags\/list\?/)
    assert.match(catalog.headers.get('Location') ?? '', /^\/v2\/team\/app\/manifests\/sha256:/)
    assert.match(upload.headers.get('Location') ?? '', /^\/v2\/team\/app\/blobs\/uploads\//)
  })

  await t.test('bytes that a client pushed are never sniffed', async () => {
    const gives = { 'X-Content-Type-Options': 'nosniff' }
    for (const path of [`blobs/${image.config}`, 'manifests/v1', `manifests/${image.digest}`]) {
      for (const method of ['GET', 'HEAD'] as const) {
        await checkRow(registry, { rule: '', method, path: `/v2/team/app/${path}`, status: 200, gives })
      }
    }
    const html = '<script>alert(1)</script>'
    const digest = await client.pushBlob('team/app', html)
    const type = { 'Content-Type': 'application/octet-stream' }
    await checkRow(registry, { rule: '', path: `/v2/team/app/blobs/${digest}`, status: 200, content: html, gives: { ...gives, ...type } })
  })

  await t.test('a digest may come percent-encoded', async () => {
    const encoded = (digest: string) => digest.replace(':', '%3A')
    for (const path of [
      `blobs/${encoded(image.config)}`,
      `manifests/${encoded(image.digest)}`,
      `referrers/${encoded(image.digest)}`,
      'manifests/v%31',
    ]) {
      const answer = await rawRequest(registry.port, { path: `/v2/team/app/${path}`, headers: [authorization] })
      assert.equal(answer.status, 200, path)
    }
    const lower = await rawRequest(registry.port, {
      path: `/v2/team/app/blobs/${image.config.replace(':', '%3a')}`,
      headers: [authorization],
    })
    assert.equal(sha256(lower.body), image.config)
  })

  await t.test('nothing under /v2 is redirected', async () => {
    for (const path of ['/v2', '/v2/team/app/blobs/uploads', '/v2/team/app/tags/list/', '/v2//', '/v2/_catalog/']) {
      for (const method of ['GET', 'POST']) {
        const answer = await rawRequest(registry.port, { method, path, headers: [authorization, 'Content-Length: 0'] })
        assert.ok(answer.status < 300 || answer.status >= 400, `${method} ${path} ${answer.status}`)
      }
    }
  })

  await t.test('one connection carries many requests, and pipelined ones are answered in their order', async () => {
    const paths = [`blobs/${emptyDigest}`, 'manifests/v1', `blobs/${image.config}`, 'tags/list']
    const requests = paths.map((path, index) => {
      const end = index === paths.length - 1 ? 'Connection: close\r\n' : ''
      return `GET /v2/team/app/${path} HTTP/1.1\r\nHost: ${registry.host}\r\n${authorization}\r\n${end}\r\n`
    })
    const bytes = await exchangeBytes(registry.port, requests.join(''))
    const statuses = [...bytes.toString('latin1').matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => status)
    assert.deepEqual(statuses, ['404', '200', '200', '200'])
    assert.ok(bytes.includes(image.text) && bytes.includes('"tags":["v1","v2","v3"]'))
  })
})

test('a registry that is known under another address keeps its paths relative and asks for tokens there', async (t) => {
  const registry = await startRegistry(t, { settings: { EXTERNAL_URL: 'https://registry.example.com/' } })
  const client = new Client(registry)
  await client.pushImage('team/app', 'v1')
  await client.pushImage('team/app', 'v2')
  assert.match(await client.startUpload('team/app'), /^\/v2\/team\/app\/blobs\/uploads\//)
  await checkRow(registry, {
    rule: '',
    path: '/v2/team/app/tags/list?n=1',
    status: 200,
    gives: { Link: /^<\/v2\/team\/app\/tags\/list\?/ },
  })
  const gives = { 'WWW-Authenticate': 'Bearer realm="https://registry.example.com/token",service="lanyard"' }
  await checkRow(registry, { rule: '', path: '/v2/', as: null, status: 401, gives })
})

test('requests that are no HTTP, or come without a host', async (t) => {
  const registry = await startRegistry(t)
  const host = `Host: ${registry.host}`
  const requests: readonly (readonly [what: string, lines: readonly string[], status: number])[] = [
    ['without a Host header', ['GET /v2/ HTTP/1.1', 'Connection: close'], 400],
    ['with two Host headers', ['GET /v2/ HTTP/1.1', host, 'Host: evil.example', 'Connection: close'], 400],
    ['with an empty Host header', ['GET /v2/ HTTP/1.1', 'Host:', 'Connection: close'], 400],
    ['with a Host header that is no host', ['GET /v2/ HTTP/1.1', 'Host: a b', 'Connection: close'], 400],
    ['with a path in the Host header', ['GET /v2/ HTTP/1.1', 'Host: a/b', 'Connection: close'], 400],
    ['with user information in the Host header', ['GET /v2/ HTTP/1.1', 'Host: user@evil.example', 'Connection: close'], 400],
    ['with a NUL in a header', ['GET /v2/ HTTP/1.1', host, 'X-Name: a\0b'], 400],
    ['with a NUL in the path', ['GET /v2/\0 HTTP/1.1', host], 400],
    ['with a space before the colon', ['GET /v2/ HTTP/1.1', host, 'X-Name : a'], 400],
    ['with a header of more than 64 KiB', ['GET /v2/ HTTP/1.1', host, `X-Name: ${'a'.repeat(66_000)}`], 431],
    ['with a path of more than 64 KiB', [`GET /v2/?${'a'.repeat(66_000)} HTTP/1.1`, host], 431],
  ]
  for (const [what, lines, status] of requests) {
    await t.test(`a request ${what} is ${status}, in JSON and with its length`, async () => {
      const answer = parseAnswer(await exchangeBytes(registry.port, [...lines, '', ''].join('\r\n')))
      assert.equal(answer.status, status)
      assert.equal(headerOf(answer, 'Content-Type'), 'application/json')
      assert.equal(answer.body.length, Number(headerOf(answer, 'Content-Length')))
      assert.equal(codeOf(answer), 'UNSUPPORTED')
      assert.equal(headerOf(answer, 'Docker-Distribution-Api-Version'), 'registry/2.0')
      assert.equal(headerOf(answer, 'Connection'), 'close')
    })
  }

  await t.test(
    'HTTP/1.0 without a Host header, as load balancers check health, is answered and challenged at the address it called',
    async () => {
      const health = parseAnswer(await exchangeBytes(registry.port, 'GET /healthz HTTP/1.0\r\n\r\n'))
      assert.equal(health.status, 200)
      const base = parseAnswer(await exchangeBytes(registry.port, 'GET /v2/ HTTP/1.0\r\n\r\n'))
      assert.equal(base.status, 401)
      assert.equal(headerOf(base, 'WWW-Authenticate'), `Bearer realm="${registry.url}/token",service="lanyard"`)
    },
  )

  await t.test('60 KiB of headers are fine', async () => {
    const answer = await rawRequest(registry.port, { path: '/v2/', headers: [authorization, `X-Name: ${'a'.repeat(60_000)}`] })
    assert.equal(answer.status, 200)
  })
})
