/** Changing and removing repositories below HTTP: what is checked stands within the transaction, and what goes, goes whole. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { RegistryError } from '../../oci/errors.ts'
import { removeRepository, updateRepository } from '../../registry/change-repository.ts'
import { findRepository } from '../../registry/registry.ts'
import { PlatformMemory } from '../../registry/platform-memory.ts'
import { pointTag } from '../../registry/set-tag.ts'
import { listGrantsOf } from '../../storage/metadata/grants.ts'
import { addGrants, addPerson } from '../support/grant-rows.ts'
import { addManifest, repositoryName, sha256Of, tagOf } from '../support/metadata-rows.ts'
import { getRepository, openFloor, pushBlob } from '../support/registry-floor.ts'

const name = repositoryName('team/app')

suite('a repository', () => {
  test('changes in what is given and in nothing else', async (t) => {
    const { registry } = await openFloor(t)
    await pushBlob(registry, name, 'content')
    const described = await updateRepository(registry, name, { description: 'for tests' })
    assert.deepEqual([described.description, described.visibility], ['for tests', 'private'])
    assert.deepEqual(await updateRepository(registry, name, { visibility: 'public' }), await findRepository(registry, name))
    assert.deepEqual(await updateRepository(registry, name, {}), await findRepository(registry, name))
  })

  test('stays as it is when the check says no, and the check sees what an earlier change has made of it', async (t) => {
    const { registry } = await openFloor(t)
    await pushBlob(registry, name, 'content')
    const once = (description: string) =>
      updateRepository(registry, name, {
        description,
        check: (current) => {
          if (current.description !== '') throw new RegistryError('versionChanged')
        },
      })
    const outcomes = await Promise.allSettled(['a', 'b', 'c'].map(once))
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['fulfilled', 'rejected', 'rejected'],
    )
    assert.equal((await findRepository(registry, name))?.description, 'a')
  })

  test('is removed with all that is in it, and nothing of another', async (t) => {
    const { registry, database } = await openFloor(t)
    for (const each of ['team/app', 'team/other']) {
      await pushBlob(registry, each, 'content')
      const { id } = await getRepository(registry, each)
      const digest = await addManifest(database, id, { text: '{}', references: [{ digest: sha256Of('content'), role: 'layer' }] })
      for (const tag of ['v1', 'v2']) await pointTag(registry, await getRepository(registry, each), { tag: tagOf(tag), digest, by: null })
    }
    await removeRepository(registry, name)
    assert.equal(await findRepository(registry, name), undefined)
    const { id: other } = await getRepository(registry, 'team/other')
    const counts = await Promise.all(
      (['manifest', 'reference', 'tag', 'blob_link'] as const).map(
        async (table) =>
          (await database.read.selectFrom(table).select('repository_id').where('repository_id', '=', other).execute()).length,
      ),
    )
    assert.deepEqual(counts, [1, 1, 2, 1], 'those of the other one')
    await assert.rejects(removeRepository(registry, name), { reason: 'nameUnknown' })
  })

  test('takes the roles in it alone with it: whoever pushes the name again gives them anew', async (t) => {
    const { registry, database } = await openFloor(t)
    await pushBlob(registry, name, 'content')
    const accountId = await addPerson(database, 'carol')
    const places = ['', name, 'team/other'] as const
    await addGrants(
      database,
      { accountId },
      places.map((repository) => ({ namespace: 'team', repository, role: 'reader' as const })),
    )
    await removeRepository(registry, name)
    const left = await listGrantsOf(database.read, accountId)
    assert.deepEqual(left.map(({ repository }) => repository).toSorted(), ['', 'team/other'])
  })

  test('is not removed where deleting is switched off, nor when the check says no', async (t) => {
    const { registry } = await openFloor(t, { isDeleteEnabled: false })
    await pushBlob(registry, name, 'content')
    await assert.rejects(removeRepository(registry, name), { reason: 'deleteDisabled' })
    const { registry: other } = await openFloor(t)
    await pushBlob(other, name, 'content')
    const check = (): never => {
      throw new RegistryError('versionChanged')
    }
    await assert.rejects(removeRepository(other, name, { check }), { reason: 'versionChanged' })
    assert.ok((await findRepository(registry, name)) && (await findRepository(other, name)))
  })
})

test('a tag is never set in a repository that was removed at the same time', async (t) => {
  const { registry, database } = await openFloor(t)
  await pushBlob(registry, name, 'content')
  const repository = await getRepository(registry, name)
  const digest = await addManifest(database, repository.id, { text: '{}' })
  const set = pointTag(registry, repository, { tag: tagOf('v1'), digest, by: null })
  await Promise.allSettled([set, removeRepository(registry, name)])
  await assert.rejects(pointTag(registry, repository, { tag: tagOf('v2'), digest, by: null }), { reason: 'nameUnknown' })
  assert.deepEqual(await database.read.selectFrom('tag').select('name').where('name', '=', 'v2').execute(), [])
})

test('the memory of platforms keeps no more than its limit, and forgets the oldest', () => {
  const memory = new PlatformMemory()
  for (let at = 0; at <= 10_000; at++) memory.remember(`sha256:${at}`, at === 1 ? null : 'linux/amd64')
  assert.deepEqual([memory.recall('sha256:0'), memory.recall('sha256:1'), memory.recall('sha256:10000')], [undefined, null, 'linux/amd64'])
})
