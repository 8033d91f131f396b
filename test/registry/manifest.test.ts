/** Pushing, resolving and deleting manifests: what must be there first, what a tag is, what goes with what. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { digestOf, parseDigest, type Digest } from '../../oci/digest.ts'
import type { ErrorReason } from '../../oci/errors.ts'
import { parseReference } from '../../oci/reference.ts'
import { pushManifest, type ManifestPush } from '../../registry/push-manifest.ts'
import { deleteByReference, resolveManifest } from '../../registry/read-manifest.ts'
import { findRepository, type Registry, type RegistryRules } from '../../registry/registry.ts'
import { isReferenced } from '../../storage/metadata/manifests.ts'
import { repositoryName, sha256Of, tagOf } from '../support/metadata-rows.ts'
import { assertRejected } from '../support/refusal.ts'
import { getRepository, openFloor, pushBlob } from '../support/registry-floor.ts'

const image = 'application/vnd.oci.image.manifest.v1+json'
const index = 'application/vnd.oci.image.index.v1+json'
const layerType = 'application/vnd.oci.image.layer.v1.tar'

const describe = (content: string, mediaType = layerType, more: object = {}) => ({
  mediaType,
  digest: sha256Of(content),
  size: content.length,
  ...more,
})

const config = describe('config', 'application/vnd.oci.image.config.v1+json')

function imageOf(layers: readonly object[], more: object = {}): string {
  return JSON.stringify({ schemaVersion: 2, mediaType: image, config, layers, ...more })
}

function indexOf(manifests: readonly object[]): string {
  return JSON.stringify({ schemaVersion: 2, mediaType: index, manifests })
}

/** Pushes a text, by default under the tag `latest` of team/app. */
async function push(registry: Registry, text: string, more: Partial<Omit<ManifestPush, 'reference'>> & { reference?: string } = {}) {
  const { reference = 'latest', ...rest } = more
  return pushManifest(registry, {
    repository: repositoryName('team/app'),
    reference: parseReference(reference),
    extraTags: [],
    contentType: undefined,
    bytes: Buffer.from(text),
    by: 'alice',
    ...rest,
  })
}

async function digestAt(registry: Registry, reference: string, name = 'team/app'): Promise<Digest> {
  return (await resolveManifest(registry, await findRepository(registry, repositoryName(name)), parseReference(reference))).digest
}

async function pushContent(registry: Registry, ...contents: string[]): Promise<void> {
  for (const content of ['config', ...contents]) await pushBlob(registry, 'team/app', content)
}

suite('pushing a manifest', () => {
  test('it is found by tag and by digest, with the bytes and the type it was pushed with', async (t) => {
    const { registry } = await openFloor(t)
    await pushContent(registry, 'layer')
    const text = ` ${imageOf([describe('layer')])}\n`
    const { digest, subject } = await push(registry, text)
    assert.deepEqual([digest, subject], [sha256Of(text), undefined])
    for (const reference of ['latest', digest]) {
      const found = await resolveManifest(registry, await getRepository(registry, 'team/app'), parseReference(reference))
      assert.equal(Buffer.from(found.content).toString(), text)
      assert.deepEqual([found.digest, found.media_type], [digest, image])
    }
  })

  test('its repository comes to be with it when it needs nothing', async (t) => {
    const { registry } = await openFloor(t, { defaultVisibility: 'public' })
    await push(registry, indexOf([]))
    assert.equal((await getRepository(registry, 'team/app')).visibility, 'public')
  })

  test('pushing it again is the same as pushing it once', async (t) => {
    const { registry, database, advance } = await openFloor(t)
    const first = await push(registry, indexOf([]))
    advance(1000)
    assert.deepEqual(await push(registry, indexOf([]), { by: 'bob' }), first)
    assert.equal((await database.read.selectFrom('manifest').select('digest').execute()).length, 1)
    assert.equal((await database.read.selectFrom('tag').select('id').execute()).length, 1)
  })

  test('by digest it gets the tags that are asked for, and no others', async (t) => {
    const { registry } = await openFloor(t)
    const text = indexOf([])
    await push(registry, text, { reference: sha256Of(text), extraTags: ['1', '1.0', 'latest'].map(tagOf) })
    for (const tag of ['1', '1.0', 'latest']) assert.equal(await digestAt(registry, tag), sha256Of(text))
    const other = imageOf([])
    await pushContent(registry)
    await push(registry, other, { reference: sha256Of(other) })
    assert.equal(await digestAt(registry, 'latest'), sha256Of(text))
  })

  test('under sha512 it is served and tagged as sha512', async (t) => {
    const { registry } = await openFloor(t)
    const text = indexOf([])
    const digest = digestOf('sha512', Buffer.from(text))
    assert.equal((await push(registry, text, { reference: digest, extraTags: [tagOf('big')] })).digest, digest)
    assert.equal(await digestAt(registry, 'big'), digest)
    await assertRejected('manifestUnknown', digestAt(registry, sha256Of(text)))
  })

  const refusals: readonly (readonly [what: string, push: Parameters<typeof push>[2] & { text?: string }, reason: ErrorReason])[] = [
    ['under the digest of other bytes', { reference: sha256Of('other') }, 'digestMismatch'],
    ['under a digest that cannot be computed', { reference: 'blake3:aa' }, 'digestUnsupported'],
    ['that is no JSON', { text: '{"schemaVersion": 2,' }, 'manifestInvalid'],
    ['whose type is not accepted', { contentType: 'application/x-unknown+json' }, 'manifestInvalid'],
    ['that is sent as another type than it says', { contentType: image }, 'manifestInvalid'],
  ]
  for (const [what, { text = indexOf([]), ...more }, reason] of refusals) {
    test(`one ${what} is refused, and makes nothing`, async (t) => {
      const { registry, database } = await openFloor(t)
      await assertRejected(reason, push(registry, text, more))
      assert.equal(await findRepository(registry, repositoryName('team/app')), undefined)
      assert.deepEqual(await database.read.selectFrom('tag').select('id').execute(), [])
    })
  }

  test('a digest that does not match tells which one the bytes have', async (t) => {
    const { registry } = await openFloor(t)
    const error = await assertRejected('digestMismatch', push(registry, indexOf([]), { reference: sha256Of('other') }))
    assert.deepEqual(error.details, [{ expected: sha256Of('other'), received: sha256Of(indexOf([])) }])
  })

  test('a tag moves to what is pushed last, and the manifest before stays', async (t) => {
    const { registry, database, advance } = await openFloor(t)
    await pushContent(registry)
    const [one, two] = [indexOf([]), imageOf([])]
    await push(registry, one)
    advance(1000)
    await push(registry, two, { by: 'bob' })
    assert.equal(await digestAt(registry, 'latest'), sha256Of(two))
    assert.equal(await digestAt(registry, sha256Of(one)), sha256Of(one))
    const history = await database.read.selectFrom('tag').select(['digest', 'set_by', 'ended_by']).orderBy('id').execute()
    assert.deepEqual(history, [
      { digest: sha256Of(one), set_by: 'alice', ended_by: 'bob' },
      { digest: sha256Of(two), set_by: 'bob', ended_by: null },
    ])
  })

  test('its subject is reported and need not be there', async (t) => {
    const { registry } = await openFloor(t)
    await pushContent(registry)
    const subject = describe('nowhere', image)
    assert.equal((await push(registry, imageOf([], { subject }))).subject, subject.digest)
  })
})

/** What a manifest references, whether that is there, and what becomes of the push under each of the three rules. */
suite('content that a manifest needs', () => {
  const child = indexOf([])
  const foreign = 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip'
  const cacheType = 'application/vnd.buildkit.cacheconfig.v0'
  const here = ['config', 'layer']
  const cases: readonly (readonly [what: string, text: string, strict: ErrorReason | 'accepted', index: ErrorReason | 'accepted'])[] = [
    ['an image with all of it', imageOf([describe('layer')]), 'accepted', 'accepted'],
    ['the same layer twice', imageOf([describe('layer'), describe('layer')]), 'accepted', 'accepted'],
    ['an image without its layer', imageOf([describe('layer'), describe('gone')]), 'manifestBlobUnknown', 'manifestBlobUnknown'],
    [
      'an image without its config',
      imageOf([describe('layer')], { config: describe('gone') }),
      'manifestBlobUnknown',
      'manifestBlobUnknown',
    ],
    ['a layer that is only in another repository', imageOf([describe('elsewhere')]), 'manifestBlobUnknown', 'manifestBlobUnknown'],
    ['a layer that is never pushed', imageOf([describe('layer'), describe('gone', foreign)]), 'accepted', 'accepted'],
    ['a layer whose digest cannot be looked up', imageOf([{ ...describe('layer'), digest: 'blake3:aa', size: 5 }]), 'accepted', 'accepted'],
    ['a layer of another size', imageOf([describe('layer', layerType, { size: 6 })]), 'manifestInvalid', 'manifestInvalid'],
    ['a manifest as a layer', imageOf([{ ...describe(child), size: child.length }]), 'manifestBlobUnknown', 'manifestBlobUnknown'],
    ['an index with its child', indexOf([describe(child, index)]), 'accepted', 'accepted'],
    ['an index without a child', indexOf([describe(child, index), describe('gone', image)]), 'manifestBlobUnknown', 'accepted'],
    ['an index with a child of another size', indexOf([describe(child, index, { size: 1 })]), 'manifestInvalid', 'accepted'],
    ['an index with a blob as a child', indexOf([describe('layer', image)]), 'manifestBlobUnknown', 'accepted'],
    ['an index that lists layers', indexOf([describe('layer'), describe('config', cacheType)]), 'accepted', 'accepted'],
    ['an index that lists a manifest as other content', indexOf([describe(child, cacheType)]), 'accepted', 'accepted'],
    ['an index that lists a layer which is not there', indexOf([describe('gone', cacheType)]), 'manifestBlobUnknown', 'accepted'],
  ]

  async function outcome(registry: Registry, text: string): Promise<string> {
    return push(registry, text).then(
      () => 'accepted',
      (error: { reason: string }) => error.reason,
    )
  }

  for (const [what, text, strict, onlyIndexes] of cases) {
    for (const [missingContent, expected] of [
      ['strict', strict],
      ['index', onlyIndexes],
      ['off', 'accepted'],
    ] as const) {
      test(`${what} is ${expected === 'accepted' ? 'accepted' : `refused as ${expected}`} under the rule ${missingContent}`, async (t) => {
        const rules: Partial<RegistryRules> = { missingContent }
        const { registry } = await openFloor(t, rules)
        for (const content of here) await pushBlob(registry, 'team/app', content)
        await pushBlob(registry, 'team/other', 'elsewhere')
        await push(registry, child, { reference: sha256Of(child) })
        assert.equal(await outcome(registry, text), expected)
      })
    }
  }

  test('every missing digest is named once, and nothing of the push is kept', async (t) => {
    const { registry, database } = await openFloor(t)
    await pushContent(registry, 'layer')
    const text = imageOf(['x', 'layer', 'y', 'x'].map((content) => describe(content)))
    const error = await assertRejected('manifestBlobUnknown', push(registry, text))
    assert.deepEqual(error.details, [{ digest: sha256Of('x') }, { digest: sha256Of('y') }])
    assert.deepEqual(await database.read.selectFrom('manifest').select('digest').execute(), [])
    assert.deepEqual(await database.read.selectFrom('reference').select('digest').execute(), [])
  })

  test('a size that is wrong is said with the right one', async (t) => {
    const { registry } = await openFloor(t)
    await pushContent(registry, 'layer')
    const error = await assertRejected('manifestInvalid', push(registry, imageOf([describe('layer', layerType, { size: 4 })])))
    assert.equal(error.message, `the manifest says ${sha256Of('layer')} has 4 bytes, stored are 5`)
  })

  test('what it references is in use from the push on, also what is not there', async (t) => {
    const { registry, database } = await openFloor(t, { missingContent: 'off' })
    await push(registry, imageOf([describe('gone')]))
    const { id } = await getRepository(registry, 'team/app')
    for (const content of ['config', 'gone']) assert.equal(await isReferenced(database.read, id, sha256Of(content)), true)
  })
})

suite('resolving', () => {
  test('a repository that is not there is told apart from a manifest that is not', async (t) => {
    const { registry } = await openFloor(t)
    await assertRejected('nameUnknown', digestAt(registry, 'latest'))
    await push(registry, indexOf([]))
    const byTag = await assertRejected('manifestUnknown', digestAt(registry, 'other'))
    assert.deepEqual(byTag.details, [{ tag: 'other' }])
    const byDigest = await assertRejected('manifestUnknown', digestAt(registry, 'blake3:aa'))
    assert.deepEqual(byDigest.details, [{ digest: 'blake3:aa' }])
  })

  test('a manifest of one repository is unknown to another', async (t) => {
    const { registry } = await openFloor(t)
    await push(registry, indexOf([]))
    await push(registry, indexOf([]), { repository: repositoryName('team/other'), reference: 'other' })
    await assertRejected('manifestUnknown', digestAt(registry, 'latest', 'team/other'))
    assert.equal(await digestAt(registry, sha256Of(indexOf([])), 'team/other'), sha256Of(indexOf([])))
  })
})

suite('deleting', () => {
  async function remove(registry: Registry, reference: string, name = 'team/app'): Promise<void> {
    const repository = await findRepository(registry, repositoryName(name))
    await deleteByReference(registry, repository, { reference: parseReference(reference), by: 'bob' })
  }

  test('by tag only the tag goes', async (t) => {
    const { registry } = await openFloor(t)
    const { digest } = await push(registry, indexOf([]))
    await push(registry, indexOf([]), { reference: 'other' })
    await remove(registry, 'latest')
    await assertRejected('manifestUnknown', digestAt(registry, 'latest'))
    assert.equal(await digestAt(registry, 'other'), digest)
    assert.equal(await digestAt(registry, digest), digest)
    await assertRejected('manifestUnknown', remove(registry, 'latest'))
  })

  test('by digest the manifest goes, with every tag that points to it and what it references', async (t) => {
    const { registry, database, now } = await openFloor(t)
    await pushContent(registry, 'layer')
    const { digest } = await push(registry, imageOf([describe('layer')]))
    await push(registry, imageOf([describe('layer')]), { reference: 'other' })
    await push(registry, indexOf([]), { reference: 'kept' })
    await remove(registry, digest)
    for (const reference of ['latest', 'other', digest]) await assertRejected('manifestUnknown', digestAt(registry, reference))
    assert.equal(await digestAt(registry, 'kept'), sha256Of(indexOf([])))
    const { id } = await getRepository(registry, 'team/app')
    assert.equal(await isReferenced(database.read, id, sha256Of('layer')), false)
    const ended = await database.read.selectFrom('tag').select(['name', 'until_ms']).where('ended_by', '=', 'bob').orderBy('name').execute()
    assert.deepEqual(ended, [
      { name: 'latest', until_ms: now() },
      { name: 'other', until_ms: now() },
    ])
    await assertRejected('manifestUnknown', remove(registry, digest))
  })

  test('a manifest that an index lists may go', async (t) => {
    const { registry } = await openFloor(t)
    const child = indexOf([])
    await push(registry, child, { reference: 'child' })
    const parent = await push(registry, indexOf([describe(child, index)]))
    await remove(registry, sha256Of(child))
    assert.equal(await digestAt(registry, 'latest'), parent.digest)
  })

  test('a manifest that was deleted and pushed again is there again', async (t) => {
    const { registry } = await openFloor(t)
    const { digest } = await push(registry, indexOf([]))
    await remove(registry, digest)
    await push(registry, indexOf([]))
    assert.equal(await digestAt(registry, 'latest'), digest)
  })

  test('another repository keeps its own', async (t) => {
    const { registry } = await openFloor(t)
    const { digest } = await push(registry, indexOf([]))
    await push(registry, indexOf([]), { repository: repositoryName('team/other') })
    await remove(registry, digest)
    assert.equal(await digestAt(registry, 'latest', 'team/other'), digest)
  })

  test('it is refused where it is switched off, and what is not there is unknown', async (t) => {
    const off = await openFloor(t, { isDeleteEnabled: false })
    await push(off.registry, indexOf([]))
    for (const reference of ['latest', sha256Of(indexOf([])), 'unknown'])
      await assertRejected('deleteDisabled', remove(off.registry, reference))
    assert.equal(await digestAt(off.registry, 'latest'), sha256Of(indexOf([])))
    const on = await openFloor(t)
    await assertRejected('nameUnknown', remove(on.registry, 'latest'))
    await push(on.registry, indexOf([]))
    await assertRejected('manifestUnknown', remove(on.registry, parseDigest('blake3:aa')))
  })

  test('a digest that is not there ends no tag', async (t) => {
    const { registry, database } = await openFloor(t)
    await push(registry, indexOf([]))
    const { id } = await getRepository(registry, 'team/app')
    await database.write((tx) =>
      tx
        .insertInto('tag')
        .values({ repository_id: id, name: 'odd', digest: sha256Of('gone'), since_ms: 1 })
        .execute(),
    )
    await assertRejected('manifestUnknown', remove(registry, sha256Of('gone')))
    const odd = await database.read.selectFrom('tag').select('until_ms').where('name', '=', 'odd').executeTakeFirst()
    assert.equal(odd?.until_ms, null)
  })
})
