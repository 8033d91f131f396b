/** Ranges of a download: the table for a blob of 2048 bytes, several ranges, and headers made to hurt. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { parseByteRanges } from '../../oci/byte-range.ts'

type Answer = ReturnType<typeof parseByteRanges>

const part = (start: number, end: number) => ({ start, end })

const table: readonly (readonly [header: string | undefined, answer: Answer])[] = [
  [undefined, 'whole'],
  ['bytes=500-1499', [part(500, 1499)]],
  ['bytes=500-', [part(500, 2047)]],
  ['bytes=-500', [part(1548, 2047)]],
  ['bytes=2000-5000', [part(2000, 2047)]],
  ['bytes=0-', [part(0, 2047)]],
  ['bytes=0-0', [part(0, 0)]],
  ['bytes=2047-', [part(2047, 2047)]],
  ['bytes=-5000', [part(0, 2047)]],
  ['bytes=500-0', 'unsatisfiable'],
  ['bytes=5000-10000', 'unsatisfiable'],
  ['bytes=2048-', 'unsatisfiable'],
  ['bytes=-0', 'unsatisfiable'],
  ['items=0-99', 'whole'],
  ['bytes', 'whole'],
  ['bytes=', 'whole'],
  ['bytes=,', 'whole'],
  ['bytes=-', 'whole'],
  ['bytes=a-b', 'whole'],
  ['bytes=1e1-20', 'whole'],
  ['bytes=+1-20', 'whole'],
  ['bytes=0x0-20', 'whole'],
  ['bytes=5', 'whole'],
  ['bytes=1-2-3', 'whole'],
  ['bytes=--5', 'whole'],
  ['0-99', 'whole'],
  ['', 'whole'],
  ['BYTES=0-99', [part(0, 99)]],
  ['bytes=0-99,200-299', [part(0, 99), part(200, 299)]],
  ['bytes=200-299, 0-99', [part(200, 299), part(0, 99)]],
  ['bytes=0-99,,200-299,', [part(0, 99), part(200, 299)]],
  ['bytes=0-99,5000-6000', [part(0, 99)]],
  ['bytes=9-0,0-99', [part(0, 99)]],
  ['bytes=5000-6000,-0', 'unsatisfiable'],
  ['bytes=0-99,x', 'whole'],
  ['bytes=0-,0-', 'whole'],
  ['bytes=9007199254740993-', 'unsatisfiable'],
  [`bytes=${'9'.repeat(400)}-`, 'unsatisfiable'],
  [`bytes=0-${'9'.repeat(400)}`, [part(0, 2047)]],
  [`bytes=-${'9'.repeat(400)}`, [part(0, 2047)]],
]

for (const [header, answer] of table) {
  test(`Range: ${header?.slice(0, 40) ?? '(none)'} of 2048 bytes is ${JSON.stringify(answer)}`, () => {
    assert.deepEqual(parseByteRanges(header, 2048), answer)
  })
}

for (const header of ['bytes=0-', 'bytes=0-0', 'bytes=-1', 'bytes=-0']) {
  test(`Range: ${header} of an empty blob is unsatisfiable`, () => {
    assert.equal(parseByteRanges(header, 0), 'unsatisfiable')
  })
}

test('a blob of several gigabytes is cut at the right byte', () => {
  assert.deepEqual(parseByteRanges('bytes=5000000000-', 6_000_000_000), [part(5_000_000_000, 5_999_999_999)])
})

test('1024 ranges are answered and 1025 are not', () => {
  const header = (count: number) => `bytes=${Array.from({ length: count }, (_, index) => `${index * 2}-${index * 2}`).join(',')}`
  const answer = parseByteRanges(header(1024), 4096)
  assert.ok(Array.isArray(answer))
  assert.equal(answer.length, 1024)
  assert.deepEqual(answer[1023], part(2046, 2046))
  assert.equal(parseByteRanges(header(1025), 4096), 'whole')
})

test('ranges that overlap cannot make the answer longer than the blob', () => {
  assert.equal(parseByteRanges(`bytes=${Array.from({ length: 1000 }, () => '0-').join(',')}`, 2048), 'whole')
  assert.deepEqual(parseByteRanges('bytes=0-99,50-149', 2048), [part(0, 99), part(50, 149)])
})

test('every answer lies within the blob and is not longer than it', () => {
  const spec = fc.oneof(
    fc.tuple(fc.nat(120), fc.nat(120)).map(([start, end]) => `${start}-${end}`),
    fc.nat(120).map((start) => `${start}-`),
    fc.nat(120).map((length) => `-${length}`),
    fc.string({ maxLength: 4 }),
  )
  fc.assert(
    fc.property(fc.array(spec, { maxLength: 6 }), fc.nat(100), (specs, sizeBytes) => {
      const answer = parseByteRanges(`bytes=${specs.join(',')}`, sizeBytes)
      if (typeof answer === 'string') {
        assert.ok(answer === 'whole' || answer === 'unsatisfiable')
        return
      }
      assert.ok(answer.length > 0)
      for (const { start, end } of answer) assert.ok(start >= 0 && start <= end && end < sizeBytes)
      assert.ok(answer.reduce((sum, { start, end }) => sum + end - start + 1, 0) <= sizeBytes)
    }),
  )
})

test('a single range gives exactly the bytes that slicing gives', () => {
  fc.assert(
    fc.property(fc.nat(100), fc.nat(100), fc.integer({ min: 1, max: 100 }), (start, end, sizeBytes) => {
      const bytes = Array.from({ length: sizeBytes }, (_, index) => index)
      const expected = bytes.slice(start, end + 1)
      const answer = parseByteRanges(`bytes=${start}-${end}`, sizeBytes)
      if (typeof answer === 'string') assert.deepEqual([answer, expected], ['unsatisfiable', []])
      else assert.deepEqual(answer, [part(expected[0] ?? -1, expected.at(-1) ?? -1)])
    }),
  )
})
