/** Paging: strict page sizes, byte order, and links that survive any value. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { compareBytes, nextLink, parsePageSize } from '../../oci/paging.ts'
import { assertRefused } from './assert-refused.ts'

const sizes: readonly (readonly [text: string | undefined, size: number])[] = [
  [undefined, 1000],
  ['0', 0],
  ['1', 1],
  ['007', 7],
  ['1000', 1000],
  ['1001', 1000],
  ['1000000000', 1000],
  ['9'.repeat(1000), 1000],
]

for (const [text, size] of sizes) {
  test(`n=${text?.slice(0, 20) ?? '(absent)'} gives pages of ${size} where 1000 is the most`, () => {
    assert.equal(parsePageSize(text, 1000), size)
  })
}

for (const text of ['', '-1', '+5', '1e3', '0x10', '1.0', ' 1', '1 ', 'NaN', 'Infinity', '٣', '1\n']) {
  test(`n=${JSON.stringify(text)} is refused`, () => {
    assertRefused('parameterInvalid', () => parsePageSize(text, 1000))
  })
}

test('any n gives a whole number between 0 and the limit, or is refused', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.bigInt({ min: 0n }).map(String)), fc.nat(), (text, limit) => {
      if (!/^[0-9]+$/.test(text)) {
        assertRefused('parameterInvalid', () => parsePageSize(text, limit))
        return
      }
      const size = parsePageSize(text, limit)
      assert.ok(Number.isInteger(size) && size >= 0 && size <= limit)
    }),
  )
})

test('the order is that of bytes: upper case before lower case, shorter before longer', () => {
  assert.deepEqual(['b', 'a', 'B', '_', '10', '9', 'a-1', 'a.1', 'a'].toSorted(compareBytes), [
    '10',
    '9',
    'B',
    '_',
    'a',
    'a',
    'a-1',
    'a.1',
    'b',
  ])
})

test('comparing a name with any text agrees with comparing their bytes', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme-ascii' }), fc.string({ unit: 'binary' }), (name, text) => {
      assert.equal(compareBytes(name, text), Buffer.compare(Buffer.from(name), Buffer.from(text)))
      assert.equal(compareBytes(text, name), Buffer.compare(Buffer.from(text), Buffer.from(name)))
    }),
  )
})

test('a link to the next page has the form that clients cut apart', () => {
  assert.equal(nextLink('/v2/a/b/tags/list', { n: '10', last: 'v1.0' }), '</v2/a/b/tags/list?n=10&last=v1.0>; rel="next"')
})

test('values of a link are encoded', () => {
  const link = nextLink('/v2/a/referrers/sha256:00', { artifactType: 'application/x+json', last: 'a>; rel="x"\r\n&' })
  assert.equal(link, '</v2/a/referrers/sha256:00?artifactType=application%2Fx%2Bjson&last=a%3E%3B%20rel%3D%22x%22%0D%0A%26>; rel="next"')
})

test('half a surrogate pair does not break a link', () => {
  assert.equal(nextLink('/p', { last: '\ud800' }), '</p?last=%EF%BF%BD>; rel="next"')
})

test('whatever stands in a link, reading it as a URL gives it back and it holds nothing that ends a header or a target', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), (n, last) => {
      const match = /^<([\x21-\x3b=\x3f-\x7e]*)>; rel="next"$/.exec(nextLink('/v2/a/tags/list', { n, last }))
      assert.ok(match !== null)
      const { searchParams } = new URL(match[1] ?? '', 'http://registry.test')
      assert.deepEqual([searchParams.get('n'), searchParams.get('last')], [n, last])
    }),
  )
})
