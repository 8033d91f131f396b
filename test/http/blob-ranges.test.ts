/** Ranges of a blob: the table for 2048 bytes, several ranges in one answer, conditions, and headers of any make. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import * as fc from 'fast-check'
import { basic, Client, emptyDigest, sha256, type Answer } from '../support/client.ts'
import { parseByteranges } from '../support/multipart.ts'
import { codeOf, headerOf, rawRequest } from '../support/raw-request.ts'
import { checkRow, runTable, type Row } from '../support/request-table.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'

const size = 2048
const content = randomBytes(size)
const digest = sha256(content)
const path = `/v2/team/app/blobs/${digest}`
const mebibyte = 1024 * 1024

async function withBlob(t: TestContext, bytes: Buffer = content): Promise<{ registry: TestRegistry; client: Client; path: string }> {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  const pushed = await client.pushBlob('team/app', bytes)
  return { registry, client, path: `/v2/team/app/blobs/${pushed}` }
}

/** 206 with the bytes from start to end, both inclusive. */
const partial = (range: string, start: number, end: number): Row => ({
  rule: `${range.slice(0, 60)} is 206 with ${start} to ${end}`,
  path,
  headers: { Range: range },
  status: 206,
  content: content.subarray(start, end + 1),
  gives: {
    'Content-Range': `bytes ${start}-${end}/${size}`,
    'Content-Length': String(end - start + 1),
    'Content-Type': 'application/octet-stream',
    'Docker-Content-Digest': digest,
    ETag: `"${digest}"`,
    'Accept-Ranges': 'bytes',
  },
})
const refused = (range: string): Row => ({
  rule: `${range.slice(0, 60)} is 416 with the length of its own body`,
  path,
  headers: { Range: range },
  status: 416,
  code: 'SIZE_INVALID',
  gives: { 'Content-Range': `bytes */${size}`, 'Accept-Ranges': null, ETag: null },
})
const ignored = (range: string): Row => ({
  rule: `${range.slice(0, 60)} is passed over: 200 with the whole blob`,
  path,
  headers: { Range: range },
  status: 200,
  content,
  gives: { 'Content-Range': null, 'Content-Length': String(size), 'Content-Type': 'application/octet-stream' },
})

const many = '9'.repeat(400)

const table: readonly Row[] = [
  partial('bytes=500-1499', 500, 1499),
  partial('bytes=500-', 500, 2047),
  partial('bytes=-500', 1548, 2047),
  partial('bytes=2000-5000', 2000, 2047),
  partial('bytes=0-', 0, 2047),
  partial('bytes=-5000', 0, 2047),
  partial('bytes=0-0', 0, 0),
  partial('bytes=2047-2047', 2047, 2047),
  partial('bytes=2047-', 2047, 2047),
  partial('bytes=-1', 2047, 2047),
  partial('bytes=-2048', 0, 2047),
  partial('bytes=0-2047', 0, 2047),
  partial(`bytes=0-${many}`, 0, 2047),
  partial(`bytes=-${many}`, 0, 2047),
  partial('Bytes=10-19', 10, 19),
  partial('bytes= 10-19', 10, 19),
  partial('bytes=10-19,', 10, 19),
  partial('bytes=10-19,5000-6000', 10, 19),
  refused('bytes=500-0'),
  refused('bytes=5000-10000'),
  refused('bytes=2048-'),
  refused('bytes=2048-2048'),
  refused('bytes=-0'),
  refused(`bytes=${many}-`),
  refused('bytes=5000-6000,7000-'),
  ignored('items=0-99'),
  ignored('bytes'),
  ignored('bytes='),
  ignored('bytes=-'),
  ignored('bytes=,'),
  ignored('bytes=abc'),
  ignored('bytes=1e2-1e3'),
  ignored('bytes=+1-5'),
  ignored('bytes=0x10-0x20'),
  ignored('bytes=1.5-2'),
  ignored('bytes=1-2-3'),
  ignored('bytes=10-19,x'),
  ignored('bytes 10-19'),
  ignored('bytes=0-,0-'),
  ignored('bytes=0-2047,0-0'),
]

test('the table of ranges of a blob of 2048 bytes', async (t) => {
  const { registry, client } = await withBlob(t)
  await client.pushBlob('team/app', '')
  await runTable(t, registry, table)

  await t.test('HEAD passes over every range', async () => {
    for (const { headers = {} } of table) {
      await checkRow(registry, {
        rule: '',
        method: 'HEAD',
        path,
        headers,
        status: 200,
        gives: { 'Content-Length': String(size), 'Content-Range': null },
      })
    }
  })

  const rangesOfNothing = ['bytes=0-', 'bytes=0-0', 'bytes=-1', 'bytes=-0', 'bytes=5-9', 'bytes=0-0,1-1']
  await runTable(t, registry, [
    ...rangesOfNothing.map<Row>((range) => ({
      rule: `${range} of a blob of zero bytes is 416`,
      path: `/v2/team/app/blobs/${emptyDigest}`,
      headers: { Range: range },
      status: 416,
      code: 'SIZE_INVALID',
      gives: { 'Content-Range': 'bytes */0' },
    })),
    {
      rule: 'a range that cannot be read gives the blob of zero bytes whole',
      path: `/v2/team/app/blobs/${emptyDigest}`,
      headers: { Range: 'bytes=x' },
      status: 200,
      content: '',
    },
  ])

  const ranged = { Range: 'bytes=0-9' }
  const first = { status: 206, content: content.subarray(0, 10) }
  const all = { status: 200, content }
  const conditions: readonly (readonly [what: string, condition: string, answer: { status: number; content: Buffer }])[] = [
    ['the digest', `"${digest}"`, first],
    ['another digest', `"sha256:${'0'.repeat(64)}"`, all],
    ['the digest as a weak tag, which If-Range never matches', `W/"${digest}"`, all],
    ['a date', 'Wed, 21 Oct 2026 07:28:00 GMT', all],
    ['a star', '*', all],
    ['nonsense', 'x', all],
  ]
  await runTable(
    t,
    registry,
    conditions.map<Row>(([what, condition, answer]) => ({
      rule: `If-Range with ${what} gives ${answer.status}`,
      path,
      headers: { ...ranged, 'If-Range': condition },
      ...answer,
    })),
  )

  await t.test('an If-Range that does not match makes even an impossible range harmless', async () => {
    await checkRow(registry, { rule: '', path, headers: { Range: 'bytes=5000-', 'If-Range': '"x"' }, ...all })
  })

  await t.test('a manifest is never sent in ranges', async () => {
    const image = await client.pushImage('team/app', 'v1')
    const gives = { 'Content-Range': null }
    await checkRow(registry, { rule: '', path: '/v2/team/app/manifests/v1', headers: ranged, status: 200, content: image.text, gives })
  })
})

/** Checks that an answer is exactly these ranges, one part each, in this order. */
function assertParts(answer: Answer, source: Buffer, ranges: readonly (readonly [start: number, end: number])[]): void {
  assert.equal(answer.status, 206)
  assert.equal(answer.bytes.length, Number(answer.headers.get('Content-Length')))
  assert.equal(answer.headers.get('Content-Range'), null)
  assert.equal(answer.headers.get('Docker-Content-Digest'), sha256(source))
  const parts = parseByteranges(answer.headers.get('Content-Type') ?? '', answer.bytes)
  assert.deepEqual(
    parts.map(({ start, end }) => [start, end]),
    ranges,
  )
  for (const part of parts) {
    assert.equal(part.contentType, 'application/octet-stream')
    assert.equal(part.total, source.length)
    assert.ok(part.bytes.equals(source.subarray(part.start, part.end + 1)), `other bytes in ${part.start}-${part.end}`)
  }
}

test('several ranges in one header', async (t) => {
  const { registry, client } = await withBlob(t)
  const ask = (range: string): Promise<Answer> => client.call('GET', path, { headers: { Range: range } })
  const several: readonly (readonly [header: string, ranges: readonly (readonly [number, number])[]])[] = [
    ['bytes=0-99,200-299', [[0, 99], [200, 299]]],
    ['bytes=200-299, 0-99', [[200, 299], [0, 99]]],
    ['bytes=0-0,-1', [[0, 0], [2047, 2047]]],
    ['bytes=0-9,5-14', [[0, 9], [5, 14]]],
    ['bytes=0-9,0-9,0-9', [[0, 9], [0, 9], [0, 9]]],
    ['bytes=0-9,,20-29,', [[0, 9], [20, 29]]],
    ['bytes=0-9,5000-6000,20-29', [[0, 9], [20, 29]]],
    ['bytes=0-1023,1024-', [[0, 1023], [1024, 2047]]],
  ] // prettier-ignore
  for (const [header, ranges] of several) {
    await t.test(`${header} is one part per range, in its order`, async () => assertParts(await ask(header), content, ranges))
  }

  for (const count of [2, 3, 100, 1000, 1023, 1024]) {
    await t.test(`${count} ranges, as podman asks for, are ${count} parts`, async () => {
      const ranges = Array.from({ length: count }, (_, index): [number, number] => [index * 2, index * 2])
      assertParts(await ask(`bytes=${ranges.map(([start, end]) => `${start}-${end}`).join(',')}`), content, ranges)
    })
  }

  await t.test('1024 ranges of a large blob fit in a header', async () => {
    const base = 4_000_000_000
    const header = `bytes=${Array.from({ length: 1024 }, (_, index) => `${base + index * 2000}-${base + index * 2000 + 999}`).join(',')}`
    assert.ok(header.length > 22_000)
    const answer = await ask(header)
    assert.equal(answer.status, 416)
  })

  await t.test('more than 1024 ranges, or more bytes than the blob has, give the whole blob', async () => {
    for (const header of [`bytes=${Array.from({ length: 1025 }, () => '0-0').join(',')}`, 'bytes=0-1024,1000-', 'bytes=0-,0-0']) {
      const answer = await ask(header)
      assert.equal(answer.status, 200)
      assert.ok(answer.bytes.equals(content))
    }
  })

  await t.test('several header lines are one list only if they read as one', async () => {
    const headers = [`Authorization: ${basic('admin')}`, 'Range: bytes=0-9', 'Range: bytes=20-29']
    const answer = await rawRequest(registry.port, { path, headers })
    assert.equal(answer.status, 200)
    assert.ok(answer.body.equals(content))
  })
})

test('ranges of a blob that is larger than the buffers it is sent through', async (t) => {
  const large = randomBytes(3 * mebibyte + 17)
  const { client, path } = await withBlob(t, large)
  const last = large.length - 1
  const ask = (range: string): Promise<Answer> => client.call('GET', path, { headers: { Range: range } })

  const ends: readonly (readonly [start: number, end: number])[] = [
    [0, last],
    [0, mebibyte - 2],
    [0, mebibyte - 1],
    [0, mebibyte],
    [1, mebibyte],
    [1, mebibyte + 1],
    [mebibyte - 1, mebibyte],
    [mebibyte, 2 * mebibyte - 1],
    [7, 2 * mebibyte + 7],
    [mebibyte + 3, last],
    [last - mebibyte, last],
    [last, last],
  ]
  for (const [start, end] of ends) {
    await t.test(`the bytes from ${start} to ${end}`, async () => {
      const answer = await ask(`bytes=${start}-${end}`)
      assert.equal(answer.status, 206)
      assert.equal(answer.headers.get('Content-Range'), `bytes ${start}-${end}/${large.length}`)
      assert.ok(answer.bytes.equals(large.subarray(start, end + 1)))
    })
  }

  await t.test('the whole of it', async () => {
    const answer = await client.call('GET', path)
    assert.equal(answer.status, 200)
    assert.ok(answer.bytes.equals(large))
  })

  await t.test('several large parts', async () => {
    const ranges = [[mebibyte + 1, last], [0, mebibyte - 5], [5, 5]] as const // prettier-ignore
    assertParts(await ask(`bytes=${ranges.map(([start, end]) => `${start}-${end}`).join(',')}`), large, ranges)
  })

  await t.test('pieces fetched at once and put together are the blob', async () => {
    const pieceBytes = 700_001
    const starts = Array.from({ length: Math.ceil(large.length / pieceBytes) }, (_, index) => index * pieceBytes)
    const pieces = await Promise.all(starts.map((start) => ask(`bytes=${start}-${start + pieceBytes - 1}`)))
    assert.equal(sha256(Buffer.concat(pieces.map(({ bytes }) => bytes))), sha256(large))
  })
})

test('whatever the Range header, the bytes are the blob’s own and nothing breaks', async (t) => {
  const { registry } = await withBlob(t)
  const headers = [`Authorization: ${basic('admin')}`]
  const number = fc.oneof(
    fc.nat(5000).map(String),
    fc.constantFrom('', '0', '2047', '2048', '9007199254740993', many, '-1', '+1', '1e1', '٣'),
  )
  const spec = fc.tuple(number, fc.constantFrom('-', '-', '-', '', '--', ' - '), number).map((pieces) => pieces.join(''))
  const ranges = fc.array(spec, { maxLength: 6 }).map((specs) => `bytes=${specs.join(',')}`)
  const anything = fc.stringMatching(/^[\t\x20-\x7e\x80-\xff]{0,60}$/)

  await fc.assert(
    fc.asyncProperty(fc.oneof(ranges, anything), async (range) => {
      const answer = await rawRequest(registry.port, {
        path,
        headers: [...headers, `Range: ${Buffer.from(range, 'utf8').toString('latin1')}`],
      })
      if (answer.status === 200) return assert.ok(answer.body.equals(content))
      if (answer.status === 416) return assert.equal(codeOf(answer), 'SIZE_INVALID')
      assert.equal(answer.status, 206)
      assert.ok(answer.body.length === Number(headerOf(answer, 'Content-Length')))
      const type = headerOf(answer, 'Content-Type')
      if (type !== 'application/octet-stream') {
        const parts = parseByteranges(type, answer.body)
        assert.ok(parts.length > 1)
        return parts.forEach((part) => assert.ok(part.bytes.equals(content.subarray(part.start, part.end + 1))))
      }
      const [, start, end] = /^bytes (\d+)-(\d+)\/2048$/.exec(headerOf(answer, 'Content-Range')) ?? []
      assert.ok(answer.body.length > 0 && answer.body.equals(content.subarray(Number(start), Number(end) + 1)))
    }),
    { numRuns: 300 },
  )
})
