/** Where things lie: every path inside the data folder, every component from a grammar. */
import assert from 'node:assert/strict'
import { dirname, join, relative, sep } from 'node:path'
import { suite, test } from 'node:test'
import * as fc from 'fast-check'
import { digestOf, isDigest, isSupported, parseDigest, requireSupported } from '../../oci/digest.ts'
import {
  allBlobFolders,
  blobFolder,
  blobPath,
  collectedName,
  collectedPath,
  dataLayout,
  digestOfCollected,
  isSessionId,
  probePath,
  snapshotPath,
  uploadPath,
} from '../../storage/layout.ts'

const layout = dataLayout('/data')

suite('paths of blobs', () => {
  test('a blob lies in the folder of its first two digits, under its hex', () => {
    const digest = digestOf('sha256', Buffer.from('{}'))
    assert.equal(blobFolder(layout, digest), '/data/blobs/sha256/44')
    assert.equal(blobPath(layout, digest), '/data/blobs/sha256/44/44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a')
  })

  test('every blob lies in a folder that preparing makes', () => {
    const folders = new Set(allBlobFolders(layout))
    assert.equal(folders.size, 512)
    fc.assert(
      fc.property(fc.uint8Array(), fc.constantFrom('sha256', 'sha512'), (bytes, algorithm) => {
        const digest = digestOf(algorithm, bytes)
        assert.ok(folders.has(blobFolder(layout, digest)))
        assert.equal(dirname(blobPath(layout, digest)), blobFolder(layout, digest))
      }),
    )
  })

  test('whatever text a client sends as a digest, its path is four plain components below the blobs or none', () => {
    const hostile = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: fc.constantFrom('.', '/', '\\', '\0', '%', '2', 'e', 'f'), maxLength: 70 }),
      fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('hex')),
    )
    let accepted = 0
    fc.assert(
      fc.property(fc.constantFrom('sha256:', 'sha512:', 'md5:', ''), hostile, (algorithm, encoded) => {
        const text = `${algorithm}${encoded}`
        if (!isDigest(text) || !isSupported(text)) return
        accepted++
        assert.match(
          relative('/data', blobPath(layout, requireSupported(parseDigest(text)))),
          /^blobs\/sha(256|512)\/[0-9a-f]{2}\/[0-9a-f]+$/,
        )
      }),
      { numRuns: 2000 },
    )
    assert.ok(accepted > 0, 'the generator also makes valid ones')
  })
})

suite('paths of collected blobs', () => {
  test('a name says which blob it was, and is one plain component', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.constantFrom('sha256', 'sha512'), (bytes, algorithm) => {
        const digest = digestOf(algorithm, bytes)
        const name = collectedName(digest, '0b9a6c1e-4f0e-4c0a-9d57-3a1a0a5f2f11')
        assert.equal(digestOfCollected(name), digest)
        assert.equal(relative('/data/collected', collectedPath(layout, name)), name)
      }),
    )
  })

  test('other names are no collected blobs, and never become paths', () => {
    const hex = '0'.repeat(64)
    for (const name of [
      '',
      'notes',
      `sha256-${hex}`,
      `sha256-${hex}.`,
      `sha256-${hex}./x`,
      `sha512-${hex}.id`,
      `md5-${hex}.id`,
      `../sha256-${hex}.id`,
    ]) {
      assert.equal(digestOfCollected(name), undefined, name)
      assert.throws(() => collectedPath(layout, name), /not the name of a collected blob/)
    }
    assert.throws(() => collectedName(digestOf('sha256', Buffer.from('x')), '../up'), /not an id/)
  })
})

suite('paths of uploads', () => {
  test('an upload lies under its session id', () => {
    assert.equal(uploadPath(layout, '0b9a6c1e-4f0e-4c0a-9d57-3a1a0a5f2f11'), '/data/uploads/0b9a6c1e-4f0e-4c0a-9d57-3a1a0a5f2f11')
  })

  test('a text that is no single plain component never becomes a path', () => {
    const component = fc.string({ unit: fc.constantFrom('.', '/', '\\', '\0', ' ', '-', 'a', '~', '%', '\n', '_'), maxLength: 8 })
    fc.assert(
      fc.property(fc.oneof(component, fc.string({ unit: 'binary' })), (id) => {
        if (isSessionId(id)) assert.equal(relative('/data/uploads', uploadPath(layout, id)), id)
        else assert.throws(() => uploadPath(layout, id), /not the id of an upload session/)
        assert.equal(isSessionId(id), /^[a-zA-Z0-9][a-zA-Z0-9-]*$/.test(id) && !id.includes(sep) && id.length <= 64)
      }),
      { numRuns: 1000 },
    )
  })

  test('the file of the probe is none that an upload can have', () => {
    assert.equal(dirname(probePath(layout)), layout.uploads)
    assert.equal(isSessionId(relative(layout.uploads, probePath(layout))), false)
  })
})

suite('other paths', () => {
  test('everything lies directly below the data folder', () => {
    const { root, ...paths } = layout
    for (const path of Object.values(paths)) assert.equal(dirname(path), root)
    assert.equal(new Set(Object.values(paths)).size, Object.keys(paths).length)
  })

  test('the name of a snapshot says which schema it holds and when it was taken, without a character that needs quoting', () => {
    const path = snapshotPath(layout, 3, Date.UTC(2026, 10, 24, 22, 57, 1, 250))
    assert.equal(path, join('/data', 'snapshots', 'schema-3-2026-11-24T22-57-01-250Z.db'))
  })
})
