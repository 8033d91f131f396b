/**
 * Requests that a proxy and a server could read differently: none is served, none is half read, each ends its connection.
 * Source: RFC 9112, 6.3 and 11.2 (request smuggling).
 */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { basic, Client, sha256 } from '../support/client.ts'
import { RawConnection } from '../support/raw-connection.ts'
import { shareRegistry } from '../support/shared-registry.ts'
import { assertNoUploads, sessionsOf } from '../support/store-contents.ts'
import { Upload } from '../support/upload.ts'

/** What a smuggler hides: it would be served as the next request on the connection. */
const hidden = (location: string): string =>
  `DELETE ${location} HTTP/1.1\r\nHost: registry.test\r\nAuthorization: ${basic('admin')}\r\nContent-Length: 0\r\n\r\n`

/** Headers that stand beside Host and Authorization, line ends included, and the body. */
const malformed: readonly (readonly [what: string, headers: string, body: string])[] = [
  ['a length and chunked transfer', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'],
  ['chunked transfer and a length', 'Transfer-Encoding: chunked\r\nContent-Length: 5\r\n', '0\r\n\r\n'],
  ['a transfer coding that is not the last one', 'Transfer-Encoding: chunked, identity\r\n', '0\r\n\r\n'],
  ['a transfer coding that only looks like one', 'Transfer-Encoding: xchunked\r\n', '0\r\n\r\n'],
  ['an unknown transfer coding and a length', 'Transfer-Encoding: identity\r\nContent-Length: 5\r\n', 'bytes'],
  ['a transfer coding twice', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n', '0\r\n\r\n'],
  ['a transfer coding behind a vertical tab', 'Transfer-Encoding: \x0bchunked\r\n', '0\r\n\r\n'],
  ['a space before the colon', 'Transfer-Encoding : chunked\r\n', '0\r\n\r\n'],
  ['two lengths that differ', 'Content-Length: 5\r\nContent-Length: 6\r\n', 'bytes!'],
  ['two lengths in one line', 'Content-Length: 5, 6\r\n', 'bytes!'],
  ['a length with a sign', 'Content-Length: +5\r\n', 'bytes'],
  ['a negative length', 'Content-Length: -5\r\n', 'bytes'],
  ['a length in hexadecimal', 'Content-Length: 0x5\r\n', 'bytes'],
  ['a length beyond all counting', 'Content-Length: 99999999999999999999\r\n', 'bytes'],
  ['a header continued on the next line', 'X-Folded: one\r\n two\r\nContent-Length: 5\r\n', 'bytes'],
  ['a transfer coding on the next line', 'Transfer-Encoding:\r\n chunked\r\n', '0\r\n\r\n'],
  ['a header ended by a bare line feed', 'X-Bare: one\nContent-Length: 5\r\n', 'bytes'],
  ['a header ended by a bare carriage return', 'X-Bare: one\rContent-Length: 5\r\n', 'bytes'],
  ['a NUL in a header', 'X-Nul: a\0b\r\nContent-Length: 5\r\n', 'bytes'],
  ['a header without a colon', 'Nonsense\r\nContent-Length: 5\r\n', 'bytes'],
  ['a header without a name', ': nameless\r\nContent-Length: 5\r\n', 'bytes'],
]

suite('a malformed request', () => {
  const shared = shareRegistry()

  for (const [what, headers, body] of malformed) {
    test(`is refused and ends the connection when it has ${what}`, async () => {
      const registry = shared()
      const upload = await Upload.start(new Client(registry), 'malformed/head')
      const connection = await RawConnection.open(registry)
      const start = `PATCH ${upload.location} HTTP/1.1\r\nHost: registry.test\r\nAuthorization: ${basic('admin')}\r\n`
      await connection.send(`${start}${headers}\r\n${body}${hidden(upload.location)}`)
      const answer = await connection.answer()
      assert.equal(answer.status, 400)
      assert.equal(answer.headers.get('connection'), 'close')
      assert.equal(answer.headers.get('content-type'), 'application/json')
      assert.match(answer.body.toString(), /^\{"errors":\[\{"code":"UNSUPPORTED"/)
      await connection.closedByServer()
      assert.equal(connection.unread, '', 'nothing else was answered')
      assert.equal(await upload.range(), '0-0', 'nothing was stored, and the hidden request was not served')
    })
  }

  const codings: readonly (readonly [what: string, body: string])[] = [
    ['a size that is no number', 'zz\r\nbytes\r\n0\r\n\r\n'],
    ['a size with a sign', '+5\r\nbytes\r\n0\r\n\r\n'],
    ['a size that hides another', '5;\n5\r\nbytes\r\n0\r\n\r\n'],
    ['a size too small for what follows', '3\r\nbytes\r\n0\r\n\r\n'],
    ['a size beyond all counting', 'fffffffffffffffff\r\nbytes\r\n0\r\n\r\n'],
    ['bare line feeds', '5\nbytes\n0\n\n'],
  ]
  for (const [what, body] of codings) {
    test(`stores nothing wrong when its chunked transfer has ${what}`, async () => {
      const registry = shared()
      const upload = await Upload.start(new Client(registry), 'malformed/chunks')
      const connection = await RawConnection.open(registry)
      const start = `PUT ${upload.location}?digest=${sha256('bytes')} HTTP/1.1\r\nHost: registry.test\r\nAuthorization: ${basic('admin')}\r\n`
      await connection.send(`${start}Transfer-Encoding: chunked\r\n\r\n${body}${hidden(upload.location)}`)
      await connection.closedByServer()
      assert.doesNotMatch(connection.unread, /HTTP\/1\.1 2/)
      await registry.services.registry.writing.whenIdle()
      assert.ok((await upload.bytesStored()) <= 'bytes'.length, 'the hidden request was not served')
    })
  }

  test('of other kinds is refused as well: no version, no host, two hosts, a host that is none, a target that is none', async () => {
    const registry = shared()
    const path = '/v2/malformed/app/blobs/uploads/'
    const before = await sessionsOf(registry)
    const authorization = `Authorization: ${basic('admin')}\r\n`
    for (const text of [
      `POST ${path}\r\n\r\n`,
      `POST ${path} HTTP/9.9\r\nHost: registry.test\r\n${authorization}\r\n`,
      `POST ${path} HTTP/1.1\r\n${authorization}\r\n`,
      `POST ${path} HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n${authorization}\r\n`,
      `POST ${path} HTTP/1.1\r\nHost: evil.test/x?\r\n${authorization}\r\n`,
      `POST ${path} HTTP/1.1\r\nHost: "quoted"\r\n${authorization}\r\n`,
      `POST ${path}\twith\ttabs HTTP/1.1\r\nHost: registry.test\r\n${authorization}\r\n`,
      `P(ST ${path} HTTP/1.1\r\nHost: registry.test\r\n${authorization}\r\n`,
    ]) {
      const connection = await RawConnection.open(registry)
      await connection.send(text)
      assert.equal((await connection.answer()).status, 400, text)
      connection.cut()
    }
    assert.deepEqual(await sessionsOf(registry), before)
  })

  test('with a header of more than 64 KiB is refused as too large', async () => {
    const connection = await RawConnection.open(shared())
    await connection.send(`POST /v2/malformed/app/blobs/uploads/ HTTP/1.1\r\nHost: registry.test\r\nX-Long: ${'x'.repeat(70_000)}\r\n\r\n`)
    assert.equal((await connection.answer()).status, 431)
    await connection.closedByServer()
  })
})

suite('a name that would end a header line', () => {
  const shared = shareRegistry()

  const paths: readonly (readonly [what: string, path: string])[] = [
    ['a line break', '/v2/app%0d%0aX-Injected:%20yes/blobs/uploads/'],
    ['a line feed', '/v2/app%0aX-Injected:%20yes/blobs/uploads/'],
    ['a NUL', '/v2/app%00/blobs/uploads/'],
    ['letters of other alphabets', '/v2/%D1%84%D0%BE%D0%BE/blobs/uploads/'],
    ['an overlong form of a slash', '/v2/a%c0%afb/blobs/uploads/'],
    ['half a percent sign', '/v2/a%2/blobs/uploads/'],
    ['dots that climb', '/v2/../../etc/blobs/uploads/'],
    ['encoded dots that climb', '/v2/%2e%2e/%2e%2e/etc/blobs/uploads/'],
    ['an encoded slash', '/v2/a%2fb/blobs/uploads/'],
    ['a backslash', '/v2/a%5cb/blobs/uploads/'],
    ['capitals', '/v2/App/blobs/uploads/'],
    ['an empty component', '/v2/a//b/blobs/uploads/'],
    ['256 characters', `/v2/${'a'.repeat(256)}/blobs/uploads/`],
  ]
  for (const [what, path] of paths) {
    test(`is refused when it holds ${what}`, async () => {
      const connection = await RawConnection.open(shared())
      const answer = await connection.exchange({ method: 'POST', path, headers: { 'Content-Length': '0' } })
      connection.cut()
      assert.ok([400, 404].includes(answer.status), String(answer.status))
      assert.equal(answer.headers.get('x-injected'), undefined)
      assert.equal(answer.headers.get('location'), undefined)
      assert.match(answer.body.toString(), /^\{"errors":\[\{"code":"(NAME_INVALID|UNSUPPORTED)"/)
      await assertNoUploads(shared())
    })
  }
})

suite('a transfer coding that the registry does not undo', () => {
  const shared = shareRegistry()

  test('is refused, and nothing of it is stored', async () => {
    const upload = await Upload.start(new Client(shared()), 'malformed/coding')
    for (const method of ['PATCH', 'PUT']) {
      for (const coding of ['gzip, chunked', 'chunked, chunked', 'x, chunked']) {
        const connection = await RawConnection.open(shared())
        const answer = await connection.exchange({
          method,
          path: `${upload.location}?digest=${sha256('bytes')}`,
          headers: { 'Transfer-Encoding': coding },
          body: '5\r\nbytes\r\n0\r\n\r\n',
        })
        connection.cut()
        assert.equal(answer.status, 400)
        assert.equal(await upload.range(), '0-0')
      }
    }
    assert.equal((await upload.finish(sha256('bytes'), { body: 'bytes' })).status, 201)
  })
})
