/** The listen address: the three ways to write one, and what only looks like one. */
import assert from 'node:assert/strict'
import { isIP } from 'node:net'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { parseListen, type ListenAddress } from '../../server/config/listen.ts'

const good: readonly (readonly [text: string, address: ListenAddress])[] = [
  ['127.0.0.1:5000', { host: '127.0.0.1', port: 5000 }],
  ['0.0.0.0:5000', { host: '0.0.0.0', port: 5000 }],
  ['[::1]:5000', { host: '::1', port: 5000 }],
  ['[::]:0', { host: '::', port: 0 }],
  ['[::ffff:10.0.0.1]:65535', { host: '::ffff:10.0.0.1', port: 65_535 }],
  [':5000', { host: '::', port: 5000 }],
  ['[fe80::1%eth0]:5000', { host: 'fe80::1%eth0', port: 5000 }],
  ['localhost:5000', { host: 'localhost', port: 5000 }],
  ['registry.lan:05000', { host: 'registry.lan', port: 5000 }],
  ['Registry-1.example.com:80', { host: 'Registry-1.example.com', port: 80 }],
]

for (const [text, address] of good)
  test(`${text} is host ${address.host}, port ${address.port}`, () => assert.deepEqual(parseListen(text), address))

const bad = [
  '',
  ':',
  '5000',
  'localhost',
  'localhost:',
  'localhost:http',
  'localhost:65536',
  'localhost:-1',
  'localhost:5000 ',
  ' localhost:5000',
  'localhost:5000:5000',
  '::1:5000',
  '[::1]',
  '[::1]5000',
  '[127.0.0.1]:5000',
  '[registry.lan]:5000',
  '[]:5000',
  '127.0.0.256:5000',
  '127.0.1:5000',
  '1.2.3.4.5:5000',
  '-registry:5000',
  'registry-.lan:5000',
  'a..b:5000',
  `${'a'.repeat(64)}:5000`,
  `${'a.'.repeat(130)}a:5000`,
  'http://localhost:5000',
  'local_host:5000',
  'localhost:5000\n',
]

for (const text of bad) {
  test(`${JSON.stringify(text.slice(0, 40))} is no listen address`, () => {
    assert.throws(() => parseListen(text), RangeError)
  })
}

test('whatever the text, what comes out can be listened on by its form, or it is refused', () => {
  const near = fc.stringMatching(/^\[?[0-9a-f:.]{0,12}\]?:\d{0,6}$/)
  fc.assert(
    fc.property(fc.oneof(fc.string(), near), (text) => {
      try {
        const { host, port } = parseListen(text)
        assert.ok(Number.isInteger(port) && port >= 0 && port <= 65_535)
        assert.ok(isIP(host) !== 0 || /^[a-z0-9.-]+$/i.test(host), host)
      } catch (error) {
        assert.ok(error instanceof RangeError, text)
      }
    }),
  )
})
