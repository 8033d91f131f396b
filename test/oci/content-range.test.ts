/** The range of a chunk as clients send it, and the range of an upload as docker reads it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { parseContentRange, uploadRange } from '../../oci/content-range.ts'

const accepted: readonly (readonly [header: string, start: number, end: number])[] = [
  ['0-0', 0, 0],
  ['0-99', 0, 99],
  ['100-199', 100, 199],
  ['bytes 0-99/*', 0, 99],
  ['bytes=0-99', 0, 99],
  ['bytes 0-99/100', 0, 99],
  ['Bytes 0-99/100', 0, 99],
  ['5000000000-5999999999', 5_000_000_000, 5_999_999_999],
  ['0-9007199254740991', 0, Number.MAX_SAFE_INTEGER],
]

for (const [header, start, end] of accepted) {
  test(`Content-Range: ${header} is bytes ${start} to ${end}`, () => {
    assert.deepEqual(parseContentRange(header), { start, end })
  })
}

const refused = [
  '',
  '-',
  '5',
  '5-',
  '-5',
  '-5-10',
  '10-9',
  '0--1',
  '0-9007199254740992',
  '99999999999999999999-99999999999999999999',
  '1e3-2e3',
  '+1-2',
  '0x0-0x9',
  '0-9,10-19',
  '0 - 9',
  ' 0-9',
  '0-9\n',
  'bytes  0-9',
  'bytes */100',
  'bytes 0-99/',
  'bytes 0-99/99',
  'items 0-9',
  '٠-٩',
  'a-b',
]

for (const header of refused) {
  test(`Content-Range: ${JSON.stringify(header)} cannot be read`, () => {
    assert.equal(parseContentRange(header), undefined)
  })
}

test('a range written in any tolerated form is read back', () => {
  const forms = [
    (start: number, end: number) => `${start}-${end}`,
    (start: number, end: number) => `bytes=${start}-${end}`,
    (start: number, end: number) => `bytes ${start}-${end}/*`,
  ]
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.maxSafeNat(), fc.constantFrom(...forms), (one, other, write) => {
      const start = Math.min(one, other)
      const end = Math.max(one, other)
      assert.deepEqual(parseContentRange(write(start, end)), { start, end })
    }),
  )
})

test('any header gives safe integers in order, or nothing', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('0', '9', '-', '/', '*', ' ', 'bytes ', 'x'), maxLength: 30 }), (header) => {
      const range = parseContentRange(header)
      assert.ok(range === undefined || (Number.isSafeInteger(range.end) && range.start >= 0 && range.start <= range.end))
    }),
  )
})

test('an upload answers with its last byte, and 0-0 while it is empty', () => {
  assert.equal(uploadRange(0), '0-0')
  assert.equal(uploadRange(1), '0-0')
  assert.equal(uploadRange(2048), '0-2047')
  assert.equal(uploadRange(5_000_000_000), '0-4999999999')
})
