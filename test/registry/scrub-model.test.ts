/**
 * Any order of pushes, damage, pulls, scrubs and unclean stops, against a model of what must be known and what may be served: a pull gives
 * the right bytes or an error wherever the model says that somebody must have looked.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import * as fc from 'fast-check'
import { digestOf, type SupportedDigest } from '../../oci/digest.ts'
import { isRegistryError } from '../../oci/errors.ts'
import { openBlob, statBlob } from '../../registry/read-blob.ts'
import { continueScrub } from '../../registry/scrub.ts'
import { noteStart, requestScrub } from '../../registry/scrub-status.ts'
import { Suspects } from '../../registry/suspects.ts'
import { blobPath } from '../../storage/layout.ts'
import { everyDamage } from '../support/damage.ts'
import { addRepository } from '../support/metadata-rows.ts'
import { getRepository, openFloor, pushBlob, type Floor } from '../support/registry-floor.ts'

const name = 'team/app'
const ways = Object.values(everyDamage)

type State = 'absent' | 'whole' | 'known' | { readonly unknown: 'content' | 'size' | 'missing' }

type Step =
  | { readonly kind: 'push' | 'pull' | 'head'; readonly blob: number }
  | { readonly kind: 'damage'; readonly blob: number; readonly way: number }
  | { readonly kind: 'scrub' | 'kill' }

const blob = fc.nat(3)
const steps = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('push' as const), blob }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('pull' as const), blob }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('head' as const), blob }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('damage' as const), blob, way: fc.nat(ways.length - 1) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('scrub' as const, 'kill' as const) }) },
  ),
  { minLength: 5, maxLength: 25 },
)

class Model {
  readonly #floor: Floor
  readonly #contents = [5, 4096, 1_048_576, 2_000_001].map((size) => randomBytes(size))
  readonly #states: State[] = this.#contents.map(() => 'absent')
  /** Those that the next whole pull checks. */
  readonly #suspects = new Set<number>()

  constructor(floor: Floor) {
    this.#floor = floor
  }

  async run(step: Step): Promise<void> {
    this.#floor.advance(1)
    switch (step.kind) {
      case 'push':
        await pushBlob(this.#floor.registry, name, this.#content(step.blob))
        this.#states[step.blob] = 'whole'
        return
      case 'damage':
        return this.#damage(step.blob, step.way)
      case 'pull':
        return this.#pull(step.blob)
      case 'head':
        return this.#head(step.blob)
      case 'scrub':
        return this.#scrub()
      case 'kill':
        return this.#kill()
    }
  }

  #content(index: number): Buffer {
    return this.#contents[index] ?? assert.fail()
  }

  #digest(index: number): SupportedDigest {
    return digestOf('sha256', this.#content(index))
  }

  #damage(index: number, way: number): void {
    const { damage, fault } = ways[way] ?? assert.fail()
    if (this.#states[index] !== 'whole') return
    damage(blobPath(this.#floor.layout, this.#digest(index)))
    this.#states[index] = { unknown: fault }
  }

  async #scrub(): Promise<void> {
    const { registry } = this.#floor
    await requestScrub(registry)
    await continueScrub({ registry, bytesPerSecond: Infinity, monotonic: () => performance.now() }, new AbortController().signal)
    for (const [index, state] of this.#states.entries()) if (typeof state === 'object') this.#states[index] = 'known'
    this.#suspects.clear()
    await registry.suspects.refresh(registry.database.read)
  }

  async #kill(): Promise<void> {
    const { registry } = this.#floor
    for (let starts = 0; starts < 2; starts++) await noteStart(registry)
    // A process that starts remembers nothing.
    Object.assign(registry, { suspects: new Suspects() })
    await registry.suspects.refresh(registry.database.read)
    for (const [index, state] of this.#states.entries()) if (state !== 'absent') this.#suspects.add(index)
  }

  async #head(index: number): Promise<void> {
    const { registry } = this.#floor
    const isThere = await statBlob(registry, await getRepository(registry, name), this.#digest(index)).then(
      () => true,
      (error: unknown) => {
        if (isRegistryError(error, 'blobUnknown')) return false
        throw error
      },
    )
    const state = this.#states[index]
    assert.equal(isThere, state === 'whole' || typeof state === 'object', JSON.stringify(state))
  }

  async #pull(index: number): Promise<void> {
    const state = this.#states[index]
    const got = await this.#read(index)
    if (state === 'absent') return assert.equal(got, 'blobUnknown')
    if (state === 'known') return assert.equal(got, 'blobDamaged')
    if (state === 'whole') assert.equal(got, 'right')
    else if (state?.unknown !== 'content' || this.#suspects.has(index)) {
      assert.equal(got, 'blobDamaged', JSON.stringify(state))
      this.#states[index] = 'known'
      return
    }
    this.#suspects.delete(index)
  }

  async #read(index: number): Promise<string> {
    const { registry } = this.#floor
    try {
      const reader = await openBlob(registry, await getRepository(registry, name), this.#digest(index))
      try {
        const bytes = Buffer.alloc(reader.sizeBytes)
        for (let at = 0; at < bytes.length;) at += await reader.read(bytes.subarray(at, at + 1_048_576), at)
        return bytes.equals(this.#content(index)) ? 'right' : 'wrong'
      } finally {
        await reader.close()
      }
    } catch (error) {
      if (isRegistryError(error)) return error.reason
      throw error
    }
  }
}

async function newModel(t: TestContext): Promise<Model> {
  const floor = await openFloor(t)
  await addRepository(floor.database, name)
  return new Model(floor)
}

test('whatever happens in whatever order, what must be known is known, and nothing wrong is served where somebody must have looked', async (t) => {
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      const model = await newModel(t)
      for (const step of all) await model.run(step)
    }),
    { numRuns: 40 },
  )
})
