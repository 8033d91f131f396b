/** The kinds of value: what each takes from a flag, the environment or YAML, what it makes of it, and what it never tells. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { z } from 'zod'
import {
  addressBlocks,
  baseUrl,
  bearerToken,
  formatSize,
  listenAddress,
  oneOf,
  parseBoolean,
  parseSize,
  password,
  path,
  size,
  truth,
  wholeNumber,
} from '../../server/config/values.ts'

type Expected = { readonly is: unknown } | 'refused'

function rows(name: string, schema: z.ZodType, table: readonly (readonly [given: unknown, expected: Expected])[]): void {
  for (const [given, expected] of table) {
    const shown = JSON.stringify(given)?.slice(0, 60)
    test(`${name}: ${shown} ${expected === 'refused' ? 'is refused' : `is ${JSON.stringify(expected.is)?.slice(0, 60)}`}`, () => {
      const result = schema.safeParse(given)
      assert.deepEqual(result.success ? { is: result.data } : 'refused', expected)
    })
  }
}

rows('a whole number from 1 to 256', wholeNumber({ min: 1, max: 256 }), [
  [1, { is: 1 }],
  [256, { is: 256 }],
  ['1', { is: 1 }],
  ['007', { is: 7 }],
  [0, 'refused'],
  [257, 'refused'],
  ['257', 'refused'],
  [1.5, 'refused'],
  ['1.5', 'refused'],
  ['-1', 'refused'],
  ['+1', 'refused'],
  ['1e2', 'refused'],
  ['0x10', 'refused'],
  [' 1', 'refused'],
  ['', 'refused'],
  ['١', 'refused'],
  [true, 'refused'],
  [null, 'refused'],
  [Number.NaN, 'refused'],
  [[1], 'refused'],
])

rows('a size from 1 KiB to 64 MiB', size({ min: 1024, max: 64 * 1024 ** 2 }), [
  [1024, { is: 1024 }],
  ['1024', { is: 1024 }],
  ['4MiB', { is: 4_194_304 }],
  ['4 MiB', { is: 4_194_304 }],
  ['4mib', { is: 4_194_304 }],
  ['4MB', { is: 4_000_000 }],
  ['1.5KiB', { is: 1536 }],
  ['2048B', { is: 2048 }],
  ['64MiB', { is: 67_108_864 }],
  ['65MiB', 'refused'],
  ['1023', 'refused'],
  ['1TiB', 'refused'],
  ['4M', 'refused'],
  ['4  MiB', 'refused'],
  ['4iB', 'refused'],
  ['1.0001KiB', 'refused'],
  ['-4MiB', 'refused'],
  ['4e6', 'refused'],
  ['MiB', 'refused'],
  ['', 'refused'],
  [true, 'refused'],
  [{}, 'refused'],
])

rows('one of login, open', oneOf(['login', 'open']), [
  ['login', { is: 'login' }],
  ['open', { is: 'open' }],
  ['Login', 'refused'],
  ['', 'refused'],
  [true, 'refused'],
])

rows('a truth value', truth(), [
  ...[true, 'true', 'TRUE', 'Yes', 'on', '1', 1].map((given) => [given, { is: true }] as const),
  ...[false, 'false', 'No', 'OFF', '0', 0].map((given) => [given, { is: false }] as const),
  ...['', 'y', 'ja', 'true ', 2, null, 'constructor', '__proto__', 'toString'].map((given) => [given, 'refused'] as const),
])

rows('a path', path(), [
  ['./data', { is: './data' }],
  ['/srv/a b', { is: '/srv/a b' }],
  ['', 'refused'],
  ['a\0b', 'refused'],
  ['a\nb', 'refused'],
  [5, 'refused'],
])

rows('a listen address', listenAddress(), [
  [':5000', { is: ':5000' }],
  ['[::1]:0', { is: '[::1]:0' }],
  ['5000', 'refused'],
  [5000, 'refused'],
  ['localhost', 'refused'],
])

rows('the address that clients use', baseUrl(), [
  ['https://registry.example.com', { is: 'https://registry.example.com' }],
  ['https://registry.example.com/', { is: 'https://registry.example.com' }],
  ['https://registry.example.com:443', { is: 'https://registry.example.com' }],
  ['HTTP://Registry.Example.com:5000', { is: 'http://registry.example.com:5000' }],
  ['http://[fd00::1]:5000', { is: 'http://[fd00::1]:5000' }],
  ['registry.example.com', 'refused'],
  ['https://registry.example.com/v2', 'refused'],
  ['https://registry.example.com?x', 'refused'],
  ['https://registry.example.com#x', 'refused'],
  ['https://user:secret@registry.example.com', 'refused'],
  ['https://registry.example.com//', 'refused'],
  ['https://registry example.com', 'refused'],
  ['https://registry.example.com:99999', 'refused'],
  ['ftp://registry.example.com', 'refused'],
  ['https:registry.example.com', 'refused'],
  ['https://', 'refused'],
  ['', 'refused'],
])

rows('trusted proxies', addressBlocks(), [
  ['10.0.0.0/8, fd00::/8', { is: ['10.0.0.0/8', 'fd00::/8'] }],
  ['127.0.0.1', { is: ['127.0.0.1'] }],
  [['::1', '10.0.0.1/32'], { is: ['::1', '10.0.0.1/32'] }],
  ['', { is: [] }],
  [[], { is: [] }],
  ['10.0.0.0/33', 'refused'],
  ['fd00::/129', 'refused'],
  ['10.0.0.0/', 'refused'],
  ['10.0.0.0/-1', 'refused'],
  ['10.0.0/8', 'refused'],
  ['fe80::1%eth0', 'refused'],
  ['10.0.0.1,,10.0.0.2', 'refused'],
  ['proxy.example.com', 'refused'],
  [[10], 'refused'],
  [null, 'refused'],
])

rows('a password', password(), [
  ['12345678', { is: '12345678' }],
  ['p äss wörd', { is: 'p äss wörd' }],
  ['x'.repeat(72), { is: 'x'.repeat(72) }],
  ['x'.repeat(73), 'refused'],
  ['1234567', 'refused'],
  ['😀'.repeat(7), 'refused'],
  ['😀'.repeat(18), { is: '😀'.repeat(18) }],
  ['ä'.repeat(37), 'refused'],
  ['12345678\n', 'refused'],
  ['1234\u00005678', 'refused'],
  ['', 'refused'],
  [12_345_678, 'refused'],
])

rows('a bearer token', bearerToken(), [
  ['0123456789abcdef', { is: '0123456789abcdef' }],
  ['0123456789-._~+/==', { is: '0123456789-._~+/==' }],
  ['x'.repeat(512), { is: 'x'.repeat(512) }],
  ['x'.repeat(513), 'refused'],
  ['0123456789abcde', 'refused'],
  ['0123456789 abcdef', 'refused'],
  ['0123456789abcdef===', 'refused'],
  ['0123456789abcdef\n', 'refused'],
])

const everyKind: readonly z.ZodType[] = [
  wholeNumber({ min: 1, max: 2 }),
  size({ min: 1, max: 2 }),
  oneOf(['a', 'b']),
  truth(),
  path(),
  listenAddress(),
  baseUrl(),
  addressBlocks(),
  password(),
  bearerToken(),
]

test('every kind says in words what is allowed', () => {
  for (const schema of everyKind) assert.match(schema.description ?? '', /^\w.{5}/)
})

test('whatever is given, each kind takes or refuses it without a fault, and its refusal does not repeat the value', () => {
  // A text that stands in no message by chance.
  const telltale = fc.string({ minLength: 8, maxLength: 200 }).map((text) => `\u0001zq${text}`)
  fc.assert(
    fc.property(fc.constantFrom(...everyKind), telltale, (schema, text) => {
      const result = schema.safeParse(text)
      assert.equal(result.success, false)
      assert.ok(!JSON.stringify(result.error).includes('zq'))
    }),
  )
  fc.assert(
    fc.property(fc.constantFrom(...everyKind), fc.anything(), (schema, value) => {
      assert.equal(typeof schema.safeParse(value).success, 'boolean')
    }),
  )
})

test('a size that is written is read as the same number of bytes', () => {
  fc.assert(fc.property(fc.maxSafeNat(), (bytes) => assert.equal(parseSize(formatSize(bytes)), bytes)))
  const whole = fc.tuple(fc.integer({ min: 1, max: 2000 }), fc.constantFrom(1, 2, 3, 4))
  fc.assert(fc.property(whole, ([count, power]) => assert.equal(parseSize(formatSize(count * 1024 ** power)), count * 1024 ** power)))
})

test('a size is written with a unit only where that is exact', () => {
  assert.deepEqual([0, 1, 1023, 1024, 1536, 1024 ** 2, 1024 ** 3 * 5, 1024 ** 4, 1024 ** 2 + 1].map(formatSize), [
    '0',
    '1',
    '1023',
    '1 KiB',
    '1536',
    '1 MiB',
    '5 GiB',
    '1 TiB',
    '1048577',
  ])
})

test('sizes that cannot be counted exactly are refused', () => {
  for (const text of ['9007199254740993', '8192TiB', '0.3KiB', '99999999999999999', '0.0000001GB'])
    assert.throws(() => parseSize(text), RangeError, text)
  assert.equal(parseSize('8191TiB'), 8191 * 1024 ** 4)
})

test('whatever the text, a size or a truth value comes out, or a RangeError', () => {
  const near = fc.oneof(fc.string(), fc.stringMatching(/^\d{1,18}(\.\d{1,7})? ?[kmgtKMGT]?i?[bB]?$/))
  fc.assert(
    fc.property(near, (text) => {
      for (const [parse, isRight] of [
        [parseSize, Number.isSafeInteger],
        [parseBoolean, (value: unknown) => typeof value === 'boolean'],
      ] as const) {
        try {
          assert.ok(isRight(parse(text)))
        } catch (error) {
          assert.ok(error instanceof RangeError, text)
        }
      }
    }),
  )
})
