/**
 * Uploads cut at any byte, any number of times, in any way: the client asks where it stands and goes on, and the blob is right.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { suite, test } from 'node:test'
import * as fc from 'fast-check'
import { uploadRange } from '../../oci/content-range.ts'
import { Client, sha256, sha512 } from '../support/client.ts'
import { eventually } from '../support/eventually.ts'
import { chunk, RawConnection, requestHead } from '../support/raw-connection.ts'
import { shareRegistry } from '../support/shared-registry.ts'
import type { TestRegistry } from '../support/start-registry.ts'
import { assertNoUploads } from '../support/store-contents.ts'
import { assertRefused, Upload } from '../support/upload.ts'

const runs = 100

/** One request that goes wrong: how much of the rest it announces and how much of that it sends, both in thousandths. */
interface Break {
  readonly announced: number
  readonly sent: number
  readonly transfer: 'length' | 'chunked' | 'range'
  readonly ending: 'cut' | 'reset' | 'endSending'
  /** Where a confused client tries to go on, relative to where it should. */
  readonly wrongBy: number
}

const anyBreak: fc.Arbitrary<Break> = fc.record({
  announced: fc.integer({ min: 1, max: 1000 }),
  sent: fc.integer({ min: 0, max: 999 }),
  transfer: fc.constantFrom('length', 'chunked', 'range'),
  ending: fc.constantFrom('cut', 'reset', 'endSending'),
  wrongBy: fc.oneof(fc.integer({ min: -300_000, max: -1 }), fc.integer({ min: 1, max: 300_000 })),
})

const anyUpload = fc.record({
  seed: fc.nat(),
  size: fc.integer({ min: 2, max: 150_000 }),
  breaks: fc.array(anyBreak, { minLength: 1, maxLength: 3 }),
  algorithm: fc.constantFrom(sha256, sha512),
})

/** Bytes that look like none of their neighbours, so that a shifted one is noticed. */
function bytesOf(seed: number, size: number): Buffer {
  const block = createHash('sha512').update(String(seed)).digest()
  return Buffer.from(Array.from({ length: size }, (_, index) => (block[index % 61] ?? 0) ^ (index >> 6) ^ index))
}

suite('an upload that is cut at random bytes', () => {
  const shared = shareRegistry()

  test(`ends as the right blob, ${runs} times over, and a wrong offset never harms it`, async () => {
    const registry = shared()
    await fc.assert(
      fc.asyncProperty(anyUpload, async ({ seed, size, breaks, algorithm }) => {
        const content = bytesOf(seed, size)
        const upload = await Upload.start(new Client(registry), 'resume/any')
        let bytesStored = 0
        for (const each of breaks) {
          await breakOff(registry, upload, { ...each, content, bytesStored })
          const before = bytesStored
          bytesStored = await whereItStands(registry, upload)
          assert.ok(bytesStored >= before && bytesStored <= size, 'what was stored before is not lost')
          await tryWrongOffset(upload, { bytesStored, size, wrongBy: each.wrongBy })
        }
        const digest = algorithm(content)
        const rest = content.subarray(bytesStored)
        const range = rest.length === 0 ? {} : { 'Content-Range': `${bytesStored}-${size - 1}` }
        assert.equal((await upload.finish(digest, { body: rest, headers: range })).status, 201)
        assert.ok((await new Client(registry).call('GET', `/v2/resume/any/blobs/${digest}`)).bytes.equals(content))
      }),
      { numRuns: runs, endOnFailure: true },
    )
    await assertNoUploads(registry)
  })

  async function breakOff(
    registry: TestRegistry,
    upload: Upload,
    { announced, sent, transfer, ending, content, bytesStored }: Break & { content: Buffer; bytesStored: number },
  ): Promise<void> {
    const rest = content.subarray(bytesStored, bytesStored + Math.ceil(((content.length - bytesStored) * announced) / 1000))
    const headers: Record<string, string> =
      transfer === 'chunked' ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': String(rest.length + 1) }
    if (transfer === 'range') headers['Content-Range'] = `${bytesStored}-${bytesStored + rest.length}`
    const part = rest.subarray(0, Math.floor((rest.length * sent) / 1000))
    const connection = await RawConnection.open(registry)
    await connection.send(requestHead({ method: 'PATCH', path: upload.location, headers }))
    await connection.send(transfer === 'chunked' ? chunk(part).subarray(0, -2) : part)
    // A stream that is only served after its successor would be appended to it, as its client must know.
    const { writing } = registry.services.registry
    await eventually(() => writing.count === 1, 'the request to arrive')
    connection[ending]()
    await eventually(() => writing.count === 0, 'the server to notice that its client is gone')
  }

  /** By the row, because the status says 0-0 for one byte as for none; it must agree. */
  async function whereItStands(registry: TestRegistry, upload: Upload): Promise<number> {
    const { read } = registry.services.registry.database
    const row = await read.selectFrom('upload_session').select('bytes_stored').where('id', '=', upload.id).executeTakeFirstOrThrow()
    assert.equal(await upload.range(), uploadRange(row.bytes_stored))
    return row.bytes_stored
  }

  async function tryWrongOffset(upload: Upload, at: { bytesStored: number; size: number; wrongBy: number }): Promise<void> {
    const wrong = at.wrongBy > 0 ? at.size + at.wrongBy : Math.max(0, at.bytesStored + at.wrongBy)
    if (wrong === at.bytesStored) return
    const refused = await upload.chunk('wrong', wrong)
    assertRefused(refused, 416, 'BLOB_UPLOAD_INVALID')
    assert.equal(refused.headers.get('Location'), upload.location)
    assert.equal(refused.headers.get('Range'), uploadRange(at.bytesStored))
  }
})
