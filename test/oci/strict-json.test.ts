/** Strict JSON: one meaning, bounded depth, linear time. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { isRegistryError } from '../../oci/errors.ts'
import { parseStrictJson } from '../../oci/strict-json.ts'
import { assertRefused } from './assert-refused.ts'

const parseText = (text: string) => parseStrictJson(Buffer.from(text))

const refused: readonly (readonly [why: string, bytes: string | Uint8Array, message: RegExp])[] = [
  ['nothing', '', /not JSON/],
  ['only blanks', '  \n', /not JSON/],
  ['a byte order mark', '\ufeff{}', /byte order mark/],
  ['UTF-16', Buffer.from('{}', 'utf16le'), /not JSON/],
  ['a byte that is not UTF-8', Uint8Array.of(0x22, 0xff, 0x22), /not UTF-8/],
  ['overlong UTF-8', Uint8Array.of(0x22, 0xc0, 0xaf, 0x22), /not UTF-8/],
  ['an encoded surrogate', Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22), /not UTF-8/],
  ['bytes after the end', '{}x', /not JSON/],
  ['a second document', '{}{}', /not JSON/],
  ['NUL after the end', '{}\0', /not JSON/],
  ['a trailing comma', '[1,]', /not JSON/],
  ['a comment', '{/**/}', /not JSON/],
  ['an open string', '"abc', /not JSON/],
  ['an open string that ends with a backslash', '"abc\\', /not JSON/],
  ['NaN', 'NaN', /not JSON/],
  ['a duplicate key', '{"a":1,"a":2}', /key "a" twice/],
  ['a duplicate key further in', '{"x":[{"b":{},"c":1,"b":0}]}', /key "b" twice/],
  ['a duplicate key after a nested object', '{"a":{"b":1},"a":1}', /key "a" twice/],
  ['a duplicate key in another spelling', '{"a":1,"\\u0061":2}', /key "a" twice/],
  ['a duplicate empty key', '{"":1,"":2}', /key "" twice/],
  ['a duplicate key that ends with a backslash', '{"a\\\\":1,"a\\\\":2}', /twice/],
  ['a __proto__ key', '{"__proto__":{}}', /__proto__/],
  ['an escaped __proto__ key', '{"a":{"\\u005f_proto__":1}}', /__proto__/],
  ['an infinite number', '{"size":1e400}', /too large/],
  ['a negative infinite number', '[-1e400]', /too large/],
  ['an infinite number of many digits', '9'.repeat(310), /too large/],
  ['a capital exponent', '[0.1E999]', /too large/],
]

for (const [why, bytes, message] of refused) {
  test(`a document with ${why} is refused with a message that says so`, () => {
    const error = assertRefused('manifestInvalid', () => parseStrictJson(typeof bytes === 'string' ? Buffer.from(bytes) : bytes))
    assert.match(error.message, message)
  })
}

const accepted: readonly (readonly [why: string, text: string, value: unknown])[] = [
  ['a line end behind it', '{"a":1}\n', { a: 1 }],
  ['the same key in different objects', '[{"a":1},{"a":{"a":2}}]', [{ a: 1 }, { a: { a: 2 } }]],
  ['a value that repeats a key', '{"a":"a","b":["a","a"]}', { a: 'a', b: ['a', 'a'] }],
  ['__proto__ as a value', '["__proto__"]', ['__proto__']],
  ['keys that objects inherit', '{"constructor":1,"toString":2}', { constructor: 1, toString: 2 }],
  ['brackets and numbers in strings', '{"[[{":"1e999 \\" ]}","b":0}', { '[[{': '1e999 " ]}', b: 0 }],
  ['a string that ends with a backslash', '["\\\\","\\\\\\""]', ['\\', '\\"']],
  ['the largest number', '[1.7976931348623157e308,1e-400]', [Number.MAX_VALUE, 0]],
  ['characters outside ASCII', '{"é":"😀"}', { é: '😀' }],
  ['a mark inside a string', '"a\ufeff"', 'a\ufeff'],
  ['nothing but null', 'null', null],
]

for (const [why, text, value] of accepted) {
  test(`a document with ${why} is read`, () => {
    assert.deepEqual(parseText(text), value)
  })
}

const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`

test('64 levels are read and 65 refused unless another limit is given', () => {
  assert.ok(Array.isArray(parseText(nested(64))))
  assert.match(assertRefused('manifestInvalid', () => parseText(nested(65))).message, /more than 64 levels/)
  assert.ok(Array.isArray(parseStrictJson(Buffer.from(nested(3)), { maxDepth: 3 })))
  assertRefused('manifestInvalid', () => parseStrictJson(Buffer.from('[[{"a":[]}]]'), { maxDepth: 3 }))
})

const mebibyte = 1024 * 1024
const hostile: readonly (readonly [what: string, text: string])[] = [
  ['ten thousand levels', nested(10_000)],
  ['a million open arrays', '['.repeat(mebibyte)],
  ['a million open objects', '{"a":'.repeat(mebibyte / 4)],
  ['four million quotes', '"'.repeat(4 * mebibyte)],
  ['an open string of backslashes', `"${'\\'.repeat(4 * mebibyte)}`],
  ['a number of four million digits', '1'.repeat(4 * mebibyte)],
  ['a duplicate key at the end of 300,000', `{${Array.from({ length: 300_000 }, (_, index) => `"${index}":0`).join(',')},"7":1}`],
]

for (const [what, text] of hostile) {
  test(`${what} are refused in less than a second of CPU`, () => {
    const before = process.cpuUsage()
    assertRefused('manifestInvalid', () => parseText(text))
    assert.ok(process.cpuUsage(before).user < 1_000_000)
  })
}

for (const [what, unit] of [
  ['empty objects', '{},'],
  ['numbers', '1,'],
  ['escaped quotes', '"\\"\\\\",'],
] as const) {
  test(`four mebibytes of ${what} are read in less than a second of CPU`, () => {
    const before = process.cpuUsage()
    assert.ok(Array.isArray(parseText(`[${unit.repeat((4 * mebibyte) / unit.length - 2)}0]`)))
    assert.ok(process.cpuUsage(before).user < 1_000_000)
  })
}

test('whatever value is written as JSON is read again', () => {
  // Not compared with JSON.parse, which itself may read escaped keys wrongly: see test/regressions/escaped-keys.test.ts.
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = JSON.stringify(value)
      if (text.includes('__proto__')) return
      assert.equal(JSON.stringify(parseText(text)), text)
    }),
  )
})

test('an object is refused exactly when two of its keys are the same', () => {
  const key = fc.string({ unit: fc.constantFrom('a', 'b', '"', '\\', '{', ',', ':'), maxLength: 3 })
  fc.assert(
    fc.property(fc.array(key, { maxLength: 5 }), (keys) => {
      const text = `{${keys.map((name) => `${JSON.stringify(name)}:[{}]`).join(',')}}`
      if (new Set(keys).size === keys.length) assert.deepEqual(Object.keys(Object(parseText(text))), keys)
      else assertRefused('manifestInvalid', () => parseText(text))
    }),
  )
})

test('any bytes are read or refused as manifestInvalid, never with another fault', () => {
  const unit = fc.constantFrom('{', '}', '[', ']', '"', '\\', ',', ':', '1', 'e', '-', 'null', 'é', ' ')
  const bytes = fc.oneof(
    fc.uint8Array(),
    fc.string({ unit, maxLength: 20 }).map((text) => Buffer.from(text)),
  )
  fc.assert(
    fc.property(bytes, (input) => {
      try {
        assert.notEqual(parseStrictJson(input), undefined)
      } catch (error) {
        assert.ok(isRegistryError(error, 'manifestInvalid'), String(error))
      }
    }),
    { numRuns: 2000 },
  )
})
