/**
 * Methods that a route does not have, and ways to smuggle one in (threat 14).
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { endpoints } from '../../oci/endpoints.ts'
import { apiOperations } from '../../server/api/operations.ts'
import { serviceRoutes, v2Routes } from '../../server/app.ts'
import { basic, expectStatus, Client } from '../support/client.ts'
import { startRegistry } from '../support/start-registry.ts'
import { repositories, setScene, type Identity } from './callers.ts'
import { expectations } from './expectations.ts'
import { listRoutes, requestLineOf } from './walk.ts'
import { errorsOf, send, sendBytes, valuesOf } from './wire.ts'

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'COPY', 'SEARCH']
const routes = listRoutes({ endpoints, v2Routes, serviceRoutes, apiOperations })
const paths = [...new Set(routes.map((route) => route.split(' ')[1] ?? ''))]
const methodsOf = (path: string): string[] => routes.filter((route) => route.endsWith(` ${path}`)).map((route) => route.split(' ')[0] ?? '')

test('a method that a route does not have is 405 with Allow, the same for everyone', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  for (const path of paths) {
    const allowed = methodsOf(path)
    for (const method of methods.filter((each) => !allowed.includes(each))) {
      const line = requestLineOf(`${method} ${path}`, expectations[`${allowed[0]} ${path}`], 'private')
      for (const identity of ['nobody', 'owner', 'administrator', 'forged token'] satisfies Identity[]) {
        const reply = await send(registry, line, { authorization: callers[identity] })
        assert.equal(reply.status, 405, `${identity}: ${line}`)
        const allow = valuesOf(reply, 'Allow').flatMap((value) => value.split(', '))
        assert.deepEqual([allow.toSorted(), reply.text.includes('"UNSUPPORTED"')], [allowed.toSorted(), method !== 'HEAD'], line)
      }
    }
  }
})

test('TRACE sends nothing back, so that no script reads the credentials of its page', async (t) => {
  const registry = await startRegistry(t)
  for (const path of ['/', '/v2/', '/token']) {
    const reply = await send(registry, `TRACE ${path}`, { authorization: basic('admin'), headers: { 'X-Secret': 'mellon' } })
    assert.equal(reply.status, 405)
    assert.ok(!reply.text.includes('mellon') && !reply.text.includes('Basic'))
    assert.notEqual(reply.headers['content-type'], 'message/http')
  }
})

test('CONNECT opens no tunnel', async (t) => {
  const registry = await startRegistry(t)
  const answer = await sendBytes(registry, `CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: ${registry.host}\r\n\r\n`)
  assert.doesNotMatch(answer, /^HTTP\/1\.1 2/)
})

const overrides: readonly (readonly [string, (method: string) => { query?: string; headers?: Record<string, string>; body?: string }])[] = [
  ['X-HTTP-Method-Override', (method) => ({ headers: { 'X-HTTP-Method-Override': method } })],
  ['X-HTTP-Method', (method) => ({ headers: { 'X-HTTP-Method': method } })],
  ['X-Method-Override', (method) => ({ headers: { 'X-Method-Override': method } })],
  ['?_method=', (method) => ({ query: `?_method=${method}` })],
  ['a form field _method', (method) => ({ headers: { 'Content-Type': 'application/x-www-form-urlencoded' }, body: `_method=${method}` })],
]

test('no header and no parameter turns one method into another', async (t) => {
  const registry = await startRegistry(t)
  const admin = new Client(registry)
  await admin.pushImage('admin/app', 'v1')
  const path = '/v2/admin/app/manifests/v1'
  for (const [title, override] of overrides) {
    await t.test(`${title} is not read`, async () => {
      const { query = '', ...wish } = override('DELETE')
      const read = await send(registry, `GET ${path}${query}`, { authorization: basic('admin'), ...wish })
      assert.equal(read.status, 200, 'a GET stays a GET')
      const posted = await send(registry, `POST ${path}${query}`, { authorization: basic('admin'), ...wish })
      assert.deepEqual([posted.status, errorsOf(posted)[0]?.code], [405, 'UNSUPPORTED'], 'and a POST a POST')
      await expectStatus(await admin.call('GET', path), 200)
    })
  }
})

test('a method override does not get a write past the gate as a read', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  const path = `/v2/${repositories.public}/manifests/v1`
  for (const method of ['GET', 'HEAD']) {
    const reply = await send(registry, `PUT ${path}`, {
      authorization: callers['anonymous token'],
      headers: { 'X-HTTP-Method-Override': method },
      body: '{}',
    })
    assert.equal(reply.status, 401)
  }
})

test('HEAD answers as GET does, with the same headers and no body', async (t) => {
  const registry = await startRegistry(t)
  const { callers } = await setScene(registry)
  // What is counted or made anew for each request differs in length too.
  const comparable = routes.filter((route) => route.startsWith('GET ') && !['GET /metrics', 'GET /token'].includes(route))
  for (const route of comparable) {
    const expectation = expectations[route]
    for (const identity of ['nobody', 'owner', 'other user', 'pull token', 'expired token'] satisfies Identity[]) {
      const line = requestLineOf(route, expectation, 'private')
      const authorization = callers[identity]
      const [get, head] = await Promise.all([
        send(registry, line, { authorization }),
        send(registry, line.replace('GET', 'HEAD'), { authorization }),
      ])
      const same = ['content-length', 'content-type', 'www-authenticate', 'docker-content-digest', 'etag', 'link', 'range', 'location']
      assert.equal(head.status, get.status, `${identity}: ${line}`)
      for (const name of same) assert.equal(head.headers[name], get.headers[name], `${identity}: ${name} of ${line}`)
      assert.equal(head.text, '')
    }
  }
})
