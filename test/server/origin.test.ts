/** Who called and under which name: the connection is believed, forwarding headers only from a trusted proxy (threats 11, 12). */
import assert from 'node:assert/strict'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { TLSSocket } from 'node:tls'
import { OriginReader } from '../../server/http/origin.ts'
import { Client } from '../support/client.ts'
import { startRegistry } from '../support/start-registry.ts'

const proxy = '10.0.0.9'
const proxies = ['10.0.0.0/8', 'fd00::/8', '192.0.2.7']

function request(from: { address?: string; isTls?: boolean; headers?: IncomingHttpHeaders }): IncomingMessage {
  const socket = from.isTls === true ? (Object.create(TLSSocket.prototype) as object) : {}
  Object.defineProperty(socket, 'remoteAddress', { value: from.address ?? '203.0.113.5' })
  const headers = from.headers ?? {}
  return { socket, headers, rawHeaders: Object.entries(headers).flat(), httpVersionMinor: 1 } as unknown as IncomingMessage
}

const direct = new OriginReader({ externalUrl: undefined, trustedProxies: [] })
const proxied = new OriginReader({ externalUrl: undefined, trustedProxies: proxies })

for (const [host, origin] of [
  ['localhost:5000', 'http://localhost:5000'],
  ['registry', 'http://registry'],
  ['registry_1.lan', 'http://registry_1.lan'],
  ['Registry.Example.com:80', 'http://Registry.Example.com:80'],
  ['192.168.1.5:5000', 'http://192.168.1.5:5000'],
  ['[::1]:5000', 'http://[::1]:5000'],
  ['', undefined],
  [undefined, undefined],
  ['evil"host', undefined],
  ['a b', undefined],
  ['a/b', undefined],
  ['user@host', undefined],
  ['host:', undefined],
  ['host:port', undefined],
  ['host:123456', undefined],
  ['-host', undefined],
  ['.host', undefined],
  ['[::1', undefined],
  ['::1', undefined],
  ['host,other', undefined],
  ['hôst', undefined],
  ['a'.repeat(254), undefined],
] as const) {
  test(`Host: ${host?.slice(0, 40) ?? '(none)'} is ${origin ?? 'refused'}`, () => {
    assert.equal(direct.originOf(request(host === undefined ? {} : { headers: { host } })), origin)
  })
}

test('a TLS connection makes the origin https', () => {
  assert.equal(direct.originOf(request({ isTls: true, headers: { host: 'r.lan' } })), 'https://r.lan')
})

const forwarded = { host: 'inner:5000', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'registry.example.com' }

for (const [what, reader, address, headers, origin] of [
  ['nobody is trusted by default', direct, '127.0.0.1', forwarded, 'http://inner:5000'],
  ['a stranger is not believed', proxied, '203.0.113.5', forwarded, 'http://inner:5000'],
  ['a trusted block is believed', proxied, proxy, forwarded, 'https://registry.example.com'],
  ['a trusted address is believed', proxied, '192.0.2.7', forwarded, 'https://registry.example.com'],
  ['its neighbour is not', proxied, '192.0.2.8', forwarded, 'http://inner:5000'],
  ['a trusted IPv6 block is believed', proxied, 'fd00::1', forwarded, 'https://registry.example.com'],
  ['an IPv4 proxy on a socket for both families is believed', proxied, '::ffff:10.0.0.9', forwarded, 'https://registry.example.com'],
  ['a proxy that sends only the scheme keeps the Host', proxied, proxy, { host: 'r.lan', 'x-forwarded-proto': 'https' }, 'https://r.lan'],
  ['a proxy that sends nothing is a client', proxied, proxy, { host: 'r.lan' }, 'http://r.lan'],
  [
    'of several values the first counts',
    proxied,
    proxy,
    { ...forwarded, 'x-forwarded-proto': 'https, http' },
    'https://registry.example.com',
  ],
  ['a scheme that is none is refused', proxied, proxy, { ...forwarded, 'x-forwarded-proto': 'javascript' }, undefined],
  ['a forwarded host that is none is refused', proxied, proxy, { ...forwarded, 'x-forwarded-host': 'evil"host' }, undefined],
] as const) {
  test(`forwarding headers: ${what}`, () => {
    assert.equal(reader.originOf(request({ address, headers })), origin)
  })
}

test('an external URL is the origin whatever a request says', () => {
  const reader = new OriginReader({ externalUrl: 'https://registry.example.com', trustedProxies: proxies })
  for (const headers of [{ host: 'evil' }, { host: 'a b' }, forwarded])
    assert.equal(reader.originOf(request({ address: proxy, headers })), 'https://registry.example.com')
})

for (const [what, address, chain, client] of [
  ['without a proxy, the connection', '203.0.113.5', undefined, '203.0.113.5'],
  ['a stranger does not choose', '203.0.113.5', '198.51.100.1', '203.0.113.5'],
  ['behind a proxy, whom it names', proxy, '198.51.100.1', '198.51.100.1'],
  ['of a chain, the last that is no proxy', proxy, '1.1.1.1, 198.51.100.1, 10.0.0.3', '198.51.100.1'],
  ['only proxies: the first of them', proxy, '10.0.0.3, 10.0.0.4', '10.0.0.3'],
  ['what is no address is passed over', proxy, '198.51.100.1, unknown, <script>', '198.51.100.1'],
  ['nothing usable: the proxy', proxy, 'unknown', proxy],
  ['an empty header: the proxy', proxy, '', proxy],
  ['IPv6', proxy, '2001:db8::1', '2001:db8::1'],
  ['IPv4 on a socket for both families', '::ffff:203.0.113.5', undefined, '203.0.113.5'],
] as const) {
  test(`client address: ${what}`, () => {
    const headers = chain === undefined ? {} : { 'x-forwarded-for': chain }
    assert.equal(proxied.clientAddress(request({ address, headers })), client)
  })
}

test('an address that is gone with its connection is no fault', () => {
  const gone = request({ headers: { host: 'r.lan', 'x-forwarded-host': 'evil' } })
  Object.assign(gone, { socket: {} })
  assert.equal(proxied.originOf(gone), 'http://r.lan')
  assert.equal(proxied.clientAddress(gone), '')
})

for (const [settings, realm] of [
  [{}, (host: string) => `http://${host}/token`],
  [{ TRUSTED_PROXIES: '127.0.0.1' }, () => 'https://registry.example.com/token'],
  [{ EXTERNAL_URL: 'https://known.example.com' }, () => 'https://known.example.com/token'],
] as const) {
  test(`the challenge points where ${JSON.stringify(settings)} says`, async (t) => {
    const registry = await startRegistry(t, { settings })
    const headers = { 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'registry.example.com' }
    const answer = await new Client(registry, '').call('GET', '/v2/', { headers })
    assert.equal(answer.status, 401)
    assert.equal(/realm="([^"]*)"/.exec(answer.headers.get('WWW-Authenticate') ?? '')?.[1], realm(registry.host))
  })
}
