/**
 * One registry for all tests of a suite, for tests that do not look at the whole store: starting one costs more than they do.
 */
import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { startRegistry, type StartOptions, type TestRegistry } from './start-registry.ts'

/**
 * Starts it before the suite's first test and ends it after the last. Call inside `suite`; each test uses repositories of its own.
 * @returns the running registry, to be called within a test.
 */
export function shareRegistry(options: StartOptions = {}): () => TestRegistry {
  const ends: (() => unknown)[] = []
  let registry: TestRegistry | undefined
  before(async () => {
    registry = await startRegistry({ after: (end) => void ends.push(end as () => unknown) }, options)
  })
  after(async () => {
    for (const end of ends) await end()
  })
  return () => {
    assert.ok(registry, 'the registry is running')
    return registry
  }
}
