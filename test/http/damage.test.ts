/** Damage as clients meet it: what is wrong is never sent, whoever pushes is told to push, and a plain push heals. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { suite, test, type TestContext } from 'node:test'
import { parseDigest } from '../../oci/digest.ts'
import { parseRepositoryName } from '../../oci/repository-name.ts'
import { Collector } from '../../registry/collect.ts'
import { findRepository } from '../../registry/registry.ts'
import { continueScrub } from '../../registry/scrub.ts'
import { getScrubStatus, noteStart, requestScrub } from '../../registry/scrub-status.ts'
import { blobPath, dataLayout } from '../../storage/layout.ts'
import type { SupportedDigest } from '../../oci/digest.ts'
import { Client, descriptorOf, expectStatus, indexType, manifestType, sha256, type PushedImage } from '../support/client.ts'
import { cutShort, everyDamage, flipBit, remove, type Damage } from '../support/damage.ts'
import { startRegistry, type TestRegistry } from '../support/start-registry.ts'

const mebibyte = 1024 * 1024

function damageBlob(registry: TestRegistry, digest: string, damage: Damage): void {
  damage(blobPath(dataLayout(registry.data), parseDigest(digest) as SupportedDigest))
}

async function scrub({ services }: TestRegistry): Promise<void> {
  await requestScrub(services.registry)
  await continueScrub(
    { registry: services.registry, bytesPerSecond: Infinity, monotonic: () => performance.now() },
    new AbortController().signal,
  )
}

/** As after a start that found that the server before had been killed. */
async function afterKill(registry: TestRegistry): Promise<Client> {
  await noteStart(registry.services.registry)
  await noteStart(registry.services.registry)
  const { url, services } = await registry.startWorker()
  assert.equal(services.registry.suspects.isAnything, true)
  return new Client({ url })
}

const faultsOf = async ({ services }: TestRegistry) => (await getScrubStatus(services.registry, 7)).blobs.map(({ fault }) => fault)
const pull = (client: Client, repository: string, digest: string) => client.call('GET', `/v2/${repository}/blobs/${digest}`)

/** A blob as docker pushes it: HEAD, POST, PATCH, PUT. @returns whether it was sent */
async function pushAsDocker(client: Client, repository: string, content: Buffer | string): Promise<boolean> {
  const digest = sha256(content)
  const head = await client.call('HEAD', `/v2/${repository}/blobs/${digest}`)
  if (head.status === 200) return false
  assert.equal(head.status, 404)
  const post = await expectStatus(await client.call('POST', `/v2/${repository}/blobs/uploads/`), 202)
  const patch = await client.call('PATCH', post.headers.get('Location') ?? '', {
    body: content,
    headers: { 'Content-Type': 'application/octet-stream' },
  })
  await expectStatus(patch, 202)
  const location = patch.headers.get('Location') ?? ''
  await expectStatus(await client.call('PUT', `${location}${location.includes('?') ? '&' : '?'}digest=${digest}`), 201)
  return true
}

async function withDamagedLayer(t: TestContext): Promise<{ registry: TestRegistry; client: Client; image: PushedImage; layer: string }> {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  const image = await client.pushImage('team/app', 'v1', ['a layer', 'another'])
  const [layer = ''] = image.layers
  damageBlob(registry, layer, flipBit())
  await scrub(registry)
  return { registry, client, image, layer }
}

suite('a blob in quarantine', () => {
  test('is answered with words that say what to do; everything else is pulled as before', async (t) => {
    const { client, image, layer } = await withDamagedLayer(t)
    for (const headers of [{}, { Range: 'bytes=0-1' }, { 'If-None-Match': `"${layer}"` }]) {
      const answer = await client.call('GET', `/v2/team/app/blobs/${layer}`, { headers })
      assert.equal(answer.status, 500)
      assert.match(answer.errors[0]?.message ?? '', /damaged .* push it again/)
    }
    assert.equal((await client.call('HEAD', `/v2/team/app/blobs/${layer}`)).status, 404)
    assert.equal((await pull(client, 'team/app', image.layers[1] ?? '')).status, 200)
    assert.equal((await client.call('GET', '/v2/team/app/manifests/v1')).status, 200)
  })

  test('is sent by a docker push of the same image, and only it, and then everything is whole', async (t) => {
    const { registry, client, image, layer } = await withDamagedLayer(t)
    const sent = []
    for (const content of ['a layer', 'another']) if (await pushAsDocker(client, 'team/app', content)) sent.push(sha256(content))
    assert.deepEqual(sent, [layer])
    await expectStatus(await client.putManifest('team/app', 'v1', image.text), 201)
    assert.equal((await pull(client, 'team/app', layer)).bytes.toString(), 'a layer')
    assert.equal((await client.call('HEAD', `/v2/team/app/blobs/${layer}`)).status, 200)
    assert.deepEqual(await faultsOf(registry), [])
  })

  test('is healed for every repository by one push to any', async (t) => {
    const { client, layer } = await withDamagedLayer(t)
    assert.equal(await pushAsDocker(client, 'team/web', 'a layer'), true)
    for (const name of ['team/app', 'team/web']) assert.equal((await pull(client, name, layer)).bytes.toString(), 'a layer')
  })

  test('cannot be mounted, with a source or without: the client gets a session to send it', async (t) => {
    const { registry, client, layer } = await withDamagedLayer(t)
    for (const from of ['&from=team/app', '']) {
      const answer = await client.call('POST', `/v2/team/web/blobs/uploads/?mount=${layer}${from}`)
      assert.equal(answer.status, 202)
      assert.equal(await findRepository(registry.services.registry, parseRepositoryName('team/web')), undefined, 'nothing is made for it')
    }
    const own = await client.call('POST', `/v2/team/app/blobs/uploads/?mount=${layer}&from=team/app`)
    assert.equal(own.status, 202, 'nor within its own repository')
  })

  test('lets no manifest be pushed that needs it, and a whole push in one request heals it', async (t) => {
    const { client, image, layer } = await withDamagedLayer(t)
    const refused = await expectStatus(await client.putManifest('team/app', 'v2', image.text), 400)
    assert.deepEqual(
      refused.errors.map(({ code, detail }) => [code, detail?.['digest']]),
      [['MANIFEST_BLOB_UNKNOWN', layer]],
    )
    await expectStatus(await client.call('POST', `/v2/team/app/blobs/uploads/?digest=${layer}`, { body: 'a layer' }), 201)
    await expectStatus(await client.putManifest('team/app', 'v2', image.text), 201)
  })

  test('is not healed by other bytes', async (t) => {
    const { client, layer } = await withDamagedLayer(t)
    await expectStatus(await client.call('POST', `/v2/team/app/blobs/uploads/?digest=${layer}`, { body: 'A layer' }), 400)
    assert.equal((await pull(client, 'team/app', layer)).status, 500)
  })

  test('makes whoever is about to push find neither its manifest nor an index that lists that; whoever pulls still does', async (t) => {
    const { registry, client, image } = await withDamagedLayer(t)
    const index = { schemaVersion: 2, mediaType: indexType, manifests: [descriptorOf(image.text, manifestType)] }
    await expectStatus(await client.putManifest('team/app', 'all', index), 201)
    const other = await client.pushImage('team/app', 'other', ['whole'])
    const holder = async (actions: string) => {
      const { bytes } = await client.call('GET', `/token?scope=repository:team/app:${actions}`)
      return new Client(registry, `Bearer ${(JSON.parse(bytes.toString()) as { token: string }).token}`)
    }
    const [pusher, puller] = [await holder('pull,push'), await holder('pull')]
    const head = async (by: Client, reference: string) => (await by.call('HEAD', `/v2/team/app/manifests/${reference}`)).status
    for (const reference of ['v1', image.digest, 'all', sha256(JSON.stringify(index))])
      assert.deepEqual([await head(pusher, reference), await head(puller, reference), await head(client, reference)], [404, 200, 200])
    assert.equal(await head(pusher, other.digest), 200)
    await pushAsDocker(pusher, 'team/app', 'a layer')
    for (const reference of ['v1', 'all']) assert.equal(await head(pusher, reference), 200)
  })

  test('does not make the registry unready, which says so all the same, until it is healed', async (t) => {
    const { registry, client } = await withDamagedLayer(t)
    const metrics = async () => {
      await registry.services.measureStore()
      return (await client.call('GET', '/metrics')).bytes.toString()
    }
    const ready = await expectStatus(await client.call('GET', '/readyz'), 200)
    assert.match(ready.bytes.toString(), /^ready\nwarning: .*lanyard scrub status/)
    const before = await metrics()
    assert.match(before, /^lanyard_damaged 1$/m)
    assert.match(before, /^lanyard_damage_total\{event="found"\} 1$/m)
    await pushAsDocker(client, 'team/app', 'a layer')
    assert.equal((await client.call('GET', '/readyz')).bytes.toString(), 'ready\n')
    const later = await metrics()
    assert.match(later, /^lanyard_damaged 0$/m)
    assert.match(later, /^lanyard_damage_total\{event="healed"\} 1$/m)
    assert.match(later, /^lanyard_scrub_finished_timestamp_seconds [1-9]/m)
  })

  test('shows in the API, with the repositories it belongs to', async (t) => {
    const { client, layer } = await withDamagedLayer(t)
    const report = JSON.parse((await client.call('GET', '/api/v1/scrub')).bytes.toString()) as Record<string, { digest: string }[]>
    assert.deepEqual(
      report['damagedBlobs']?.map((blob) => ({ ...blob, foundAt: '' })),
      [{ digest: layer, sizeBytes: 7, foundAt: '', fault: 'content', repositories: ['team/app'] }],
    )
  })
})

test('what was deleted and collected is pushed again and pulled, without a restart, damaged in between or not', async (t) => {
  const registry = await startRegistry(t)
  const client = new Client(registry)
  for (let round = 0; round < 4; round++) {
    const image = await client.pushImage('team/app', 'v1', ['a layer'])
    const [layer = ''] = image.layers
    assert.equal((await pull(client, 'team/app', layer)).bytes.toString(), 'a layer')
    if (round % 2 === 1) damageBlob(registry, layer, flipBit())
    if (round === 3) await scrub(registry)
    await expectStatus(await client.call('DELETE', `/v2/team/app/manifests/${image.digest}`), 202)
    registry.advance(1000 * 3_600_000)
    const collector = await Collector.open({ registry: registry.services.registry, startMs: 0, monotonic: () => performance.now() })
    assert.equal((await collector.round(new AbortController().signal)).blobs, 2)
    assert.equal((await client.call('HEAD', `/v2/team/app/blobs/${layer}`)).status, 404)
    assert.deepEqual(await faultsOf(registry), [])
  }
})

suite('without a scrub', () => {
  test('a blob that is missing or has another size is found by the pull, and pushed again by the next push', async (t) => {
    for (const [damage, fault] of [
      [remove, 'missing'],
      [cutShort, 'size'],
    ] as const) {
      const registry = await startRegistry(t)
      const client = new Client(registry)
      const digest = await client.pushBlob('team/app', 'content')
      damageBlob(registry, digest, damage)
      assert.equal((await pull(client, 'team/app', digest)).status, 500)
      assert.deepEqual(await faultsOf(registry), [fault])
      assert.equal(await pushAsDocker(client, 'team/app', 'content'), true)
      assert.equal((await pull(client, 'team/app', digest)).bytes.toString(), 'content')
    }
  })

  test('a damaged manifest is healed by a push even before it is found', async (t) => {
    const registry = await startRegistry(t)
    const client = new Client(registry)
    const image = await client.pushImage('team/app', 'v1')
    await registry.services.registry.database.write((tx) =>
      tx
        .updateTable('manifest')
        .set({ content: Buffer.from('wrong') })
        .execute(),
    )
    await expectStatus(await client.putManifest('team/app', 'v1', image.text), 201)
    assert.equal((await client.call('GET', '/v2/team/app/manifests/v1')).bytes.toString(), image.text)
  })
})

suite('after a stop that was none in order', () => {
  const sizes = { small: 5000, 'of one slice': mebibyte, 'of many slices': 5 * mebibyte + 17 }
  for (const [size, bytes] of Object.entries(sizes)) {
    for (const [what, { damage, fault }] of Object.entries(everyDamage)) {
      test(`a ${size} blob with ${what}: no answer has its bytes, and it is found at once`, async (t) => {
        const registry = await startRegistry(t)
        const content = randomBytes(bytes)
        const digest = await new Client(registry).pushBlob('team/app', content)
        damageBlob(registry, digest, damage)
        const client = await afterKill(registry)
        const outcome = await pull(client, 'team/app', digest).then(
          ({ status }) => status,
          () => 'cut',
        )
        assert.equal(outcome, bytes > mebibyte && fault === 'content' ? 'cut' : 500)
        assert.deepEqual(await faultsOf(registry), [fault])
        assert.equal((await pull(client, 'team/app', digest)).status, 500)
        assert.equal(await pushAsDocker(client, 'team/app', content), true)
        assert.ok((await pull(client, 'team/app', digest)).bytes.equals(content))
      })
    }
  }

  test('no part of a damaged blob is sent, wherever the damage is', async (t) => {
    for (const header of ['bytes=0-9', 'bytes=100-199', 'bytes=-10', 'bytes=0-9,20-29']) {
      const registry = await startRegistry(t)
      const content = randomBytes(2 * mebibyte)
      const digest = await new Client(registry).pushBlob('team/app', content)
      damageBlob(registry, digest, flipBit())
      const client = await afterKill(registry)
      const answer = await client.call('GET', `/v2/team/app/blobs/${digest}`, { headers: { Range: header } })
      assert.equal(answer.status, 500)
      assert.deepEqual(await faultsOf(registry), ['content'])
    }
  })

  test('what is right is served whole and in parts, to many at once, and checked once', async (t) => {
    const registry = await startRegistry(t)
    const content = randomBytes(3 * mebibyte + 5)
    const digest = await new Client(registry).pushBlob('team/app', content)
    const client = await afterKill(registry)
    const ranges = await Promise.all(
      [0, 1000, 2_000_000].map((start) =>
        client.call('GET', `/v2/team/app/blobs/${digest}`, { headers: { Range: `bytes=${start}-${start + 9}` } }),
      ),
    )
    assert.deepEqual(
      ranges.map(({ status, bytes }) => [status, bytes.toString('hex')]),
      [0, 1000, 2_000_000].map((start) => [206, content.subarray(start, start + 10).toString('hex')]),
    )
    for (const answer of await Promise.all([1, 2, 3].map(() => pull(client, 'team/app', digest)))) assert.ok(answer.bytes.equals(content))
    // Nothing reads it with suspicion any more; that is what the scrub is for.
    damageBlob(registry, digest, flipBit())
    assert.equal((await pull(client, 'team/app', digest)).status, 200)
    await scrub(registry)
    assert.equal((await pull(client, 'team/app', digest)).status, 500)
  })

  test('a manifest with other bytes is never served, and pushed again by the next push', async (t) => {
    const registry = await startRegistry(t)
    const image = await new Client(registry).pushImage('team/app', 'v1')
    const wrong = Buffer.from(image.text.replace('linux', 'Linux').replace('"schemaVersion":2', '"schemaVersion":3'))
    await registry.services.registry.database.write((tx) => tx.updateTable('manifest').set({ content: wrong }).execute())
    const client = await afterKill(registry)
    for (const reference of ['v1', image.digest]) {
      const answer = await client.call('GET', `/v2/team/app/manifests/${reference}`)
      assert.equal(answer.status, 500)
      assert.match(answer.errors[0]?.message ?? '', /damaged .* push it again/)
      assert.equal((await client.call('HEAD', `/v2/team/app/manifests/${reference}`)).status, 404)
    }
    await expectStatus(await client.call('GET', `/api/v1/repositories/team%2Fapp/manifests/${image.digest}`), 200)
    await expectStatus(await client.putManifest('team/app', 'v1', image.text), 201)
    assert.equal((await client.call('GET', '/v2/team/app/manifests/v1')).bytes.toString(), image.text)
  })

  test('a scrub ends the suspicion in every process', async (t) => {
    const registry = await startRegistry(t)
    const client = await afterKill(registry)
    const digest = await new Client(registry).pushBlob('team/app', 'content')
    registry.advance(1)
    await scrub(registry)
    damageBlob(registry, digest, flipBit())
    assert.equal((await pull(client, 'team/app', digest)).status, 200, 'no digest is compared')
  })
})
