/** `lanyard scrub`: what is damaged in words and as JSON, on the folder and from afar, and asking for a scrub. */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { SupportedDigest } from '../../oci/digest.ts'
import { continueScrub } from '../../registry/scrub.ts'
import { requestScrub } from '../../registry/scrub-status.ts'
import { blobPath, dataLayout } from '../../storage/layout.ts'
import { auditOf } from '../support/audit-rows.ts'
import { Client } from '../support/client.ts'
import { commandLine, type CommandLine } from '../support/command-line.ts'
import { flipBit } from '../support/damage.ts'
import { adminPassword, startRegistry, type TestRegistry } from '../support/start-registry.ts'

async function setStage(t: TestContext): Promise<{ registry: TestRegistry; lanyard: CommandLine; layer: string }> {
  const registry = await startRegistry(t)
  const { layers } = await new Client(registry).pushImage('team/app', 'v1')
  return { registry, lanyard: commandLine(registry.data), layer: layers[0] ?? '' }
}

async function scrub({ services: { registry } }: TestRegistry): Promise<void> {
  await requestScrub(registry)
  await continueScrub({ registry, bytesPerSecond: Infinity, monotonic: () => performance.now() }, new AbortController().signal)
}

test('a store that was never read says so, and one that was read says what', async (t) => {
  const { registry, lanyard } = await setStage(t)
  assert.equal(await lanyard.does('scrub status'), 'none is under way\nnone has come to its end yet\nnothing is known to be damaged\n')
  await scrub(registry)
  assert.match(
    await lanyard.does('scrub status'),
    /^none is under way\nthe last one ended \S+Z: 2 blobs and 1 manifests \(\S+ B\) read, 0 found damaged, 0 stray files removed\nthe next one begins \S+Z\nnothing is known to be damaged\n$/,
  )
})

test('what is damaged is a table that says whose it is', async (t) => {
  const { registry, lanyard, layer } = await setStage(t)
  flipBit()(blobPath(dataLayout(registry.data), layer as SupportedDigest))
  await scrub(registry)
  const said = await lanyard.does('scrub status')
  assert.match(said, /1 found damaged/)
  assert.match(said, /damaged, and whole again when pushed again:\nKIND {2}DIGEST +SIZE {2}FAULT +REPOSITORIES\n/)
  assert.match(said, new RegExp(`\nblob {2}${layer} {2}7 B +content {2}team/app\n$`))
})

test('a scrub is asked for once, on the folder and from afar, and that is recorded', async (t) => {
  const { registry, lanyard } = await setStage(t)
  assert.match(await lanyard.does('scrub run'), /^a scrub is open: a server on this data folder begins with it within a second/)
  const afar = `--json --server ${registry.url} --user admin`
  const [again, status] = [
    await lanyard.does(`scrub run ${afar}`, adminPassword),
    await lanyard.does(`scrub status ${afar}`, adminPassword),
  ]
  const running = (JSON.parse(again) as { running: unknown }).running
  assert.ok(running)
  assert.deepEqual((JSON.parse(status) as { running: unknown }).running, running, 'one is under way, not two')
  assert.match(await lanyard.does('scrub status'), /^under way since \S+Z, at the blobs: 0 blobs and 0 manifests/)
  const events = (await auditOf(registry)).filter(({ action }) => action === 'scrub')
  assert.equal(events.length, 2)
})

test('who is no administrator is refused', async (t) => {
  const { registry, lanyard } = await setStage(t)
  await registry.addUser('alice')
  for (const command of ['status', 'run'])
    assert.match(await lanyard.refuses(`scrub ${command} --server ${registry.url} --user alice`, adminPassword), /denied|administrator/)
})
