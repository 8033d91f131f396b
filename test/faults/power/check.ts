/**
 * Starts a registry on what a power cut has left, and looks whether everything that was promised is so.
 */
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import { Client } from '../../support/client.ts'
import { startRegistry, type TestRegistry } from '../../support/start-registry.ts'
import { fsck } from '../fsck.ts'
import { dataLayout } from '../../../storage/layout.ts'
import { writeState, type DiskState } from './disk-model.ts'
import type { Promises } from './promises.ts'
import type { Facts } from './story.ts'

/** What a state may be found guilty of. */
export type Fault = 'does not start' | 'lost' | 'dangling' | 'not repeatable'

export interface Objection {
  readonly fault: Fault
  readonly text: string
}

/** @param folder of its own: what is in it goes */
export async function checkState(state: DiskState, folder: string, promises: Promises): Promise<Objection[]> {
  clear(folder, state)
  writeState(state, folder)
  const endings: (() => unknown)[] = []
  try {
    const registry = await startRegistry({ after: (ending: unknown) => void endings.push(ending as () => unknown) }, { data: folder })
    return await inspect(registry, promises)
  } catch (error) {
    return [{ fault: 'does not start', text: String(error) }]
  } finally {
    for (const ending of endings) await ending()
  }
}

/** Leaves the folders that the state has too: there are hundreds, and making them takes longer than anything else. */
function clear(root: string, { folders }: DiskState): void {
  if (!existsSync(root)) return
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isFile() || !folders.has(relative(root, path))) rmSync(path, { recursive: true, force: true })
  }
}

async function inspect(registry: TestRegistry, promises: Promises): Promise<Objection[]> {
  const found = await look(registry, 'bytes')
  const lost = promises.objections(found.facts, { isRepeated: false })
  if (lost.length + found.dangling.length > 0) return [...as('lost', lost), ...as('dangling', found.dangling)]
  if (promises.underWay.length === 0) return []
  try {
    const client = new Client(registry)
    for (const step of promises.underWay) await step.run({ registry, client })
  } catch (error) {
    return as('not repeatable', [String(error)])
  }
  const after = await look(registry, 'rows')
  return [...as('not repeatable', promises.objections(after.facts, { isRepeated: true })), ...as('dangling', after.dangling)]
}

function as(fault: Fault, texts: readonly string[]): Objection[] {
  return texts.map((text) => ({ fault, text }))
}

/** What does not fit, and what a client would be told is there. */
async function look(registry: TestRegistry, depth: 'rows' | 'bytes'): Promise<{ facts: Facts; dangling: readonly string[] }> {
  const { dangling } = await fsck(dataLayout(registry.data), depth)
  const { read } = registry.services.registry.database
  const facts: Record<string, string> = {}
  const repositories = read.selectFrom('repository').select(['id', 'name'])
  const names = new Map((await repositories.execute()).map(({ id, name }) => [id, name]))
  const links = await read.selectFrom('blob_link').select(['repository_id', 'digest']).execute()
  for (const { repository_id: id, digest } of links) facts[`${names.get(id)} blob ${digest}`] = 'there'
  const manifests = await read.selectFrom('manifest').select(['repository_id', 'digest']).execute()
  for (const { repository_id: id, digest } of manifests) facts[`${names.get(id)} manifest ${digest}`] = 'there'
  const tags = await read.selectFrom('tag').select(['repository_id', 'name', 'digest']).where('until_ms', 'is', null).execute()
  for (const { repository_id: id, name, digest } of tags) facts[`${names.get(id)} tag ${name}`] = digest
  return { facts, dangling }
}
