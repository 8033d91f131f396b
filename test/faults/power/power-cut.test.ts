/**
 * Power cuts, in a bounded form: some of the states that one may leave of a record. `npm run power-cuts` looks at all of them.
 *
 * And the proof that it can fail: on disks that do not do what a sync of theirs asks for, promises must be found broken.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { Random } from '../random.ts'
import { DiskModel } from './disk-model.ts'
import { explore } from './explore.ts'
import { readOperations, type Operation } from './operation-log.ts'
import { makeScratch, recordWork } from './record.ts'
import { collectorDeath, story } from './story.ts'

/** Of all states, also of those that differ only in what SQLite does not read. */
const share = 0.004

suite('power cuts', () => {
  const scratch = makeScratch()
  let operations: readonly Operation[] = []
  let data = ''
  before(async () => {
    const recorded = await recordWork(scratch)
    data = recorded.data
    operations = readOperations(recorded.log)
  })
  after(() => rmSync(scratch, { recursive: true, force: true }))

  test('the record tells everything: carried out again, it gives the folder that was recorded', () => {
    const model = new DiskModel()
    for (const operation of operations) model.take(operation)
    const { files, folders } = model.leave(model.pending)
    const entries = readdirSync(data, { recursive: true, encoding: 'utf8' })
    assert.deepEqual([...files.keys(), ...folders.keys()].toSorted(), entries.toSorted())
    for (const [path, { readBytes }] of files)
      assert.ok(readBytes().equals(readFileSync(join(data, path))), `${path} has the bytes that it had`)
    assert.ok(entries.filter((path) => statSync(join(data, path)).isFile()).length > 10)
  })

  test('whatever a cut leaves, the registry starts, has all that it promised, and repeating goes on', async () => {
    const random = new Random(20_261)
    const { rows, violations } = await explore(operations, { scratch, isWanted: () => random.chance(share) })
    assert.deepEqual(violations, [])
    const sums = Object.values(rows).reduce((sum, { cuts, checked }) => ({ cuts: sum.cuts + cuts, checked: sum.checked + checked }), {
      cuts: 0,
      checked: 0,
    })
    assert.ok(sums.cuts > 1000 && sums.checked > 100, JSON.stringify(sums))
  })

  test('who clears up after a killed collector removes no file whose row a cut could bring back', async () => {
    const group = story.findIndex(([step]) => step?.name === collectorDeath.name)
    let isDuring = false
    const isCut = (operation: Operation): boolean => {
      if (operation.kind === 'mark') isDuring = operation.text.split(' ')[1] === String(group)
      return isDuring
    }
    const { rows, violations } = await explore(operations, { scratch, isCut, isAsRead: true })
    assert.deepEqual(violations, [])
    assert.ok((rows[collectorDeath.name]?.checked ?? 0) > 5, JSON.stringify(rows))
  })

  const sabotages: readonly { readonly name: string; readonly isIgnored: (path: string) => boolean; readonly finds: RegExp }[] = [
    { name: 'the log of commits', isIgnored: (path) => path === 'lanyard.db-wal', finds: /^lost/ },
    { name: 'an upload', isIgnored: (path) => path.startsWith('uploads/'), finds: /^dangling.*bytes/ },
    { name: 'a folder of blobs', isIgnored: (path) => /^blobs\/sha256\/..$/.test(path), finds: /^dangling.*no bytes on disk/ },
    { name: 'the folder of the database', isIgnored: (path) => path === '', finds: /^lost|^does not start/ },
    {
      name: 'the database before its log is written over',
      isIgnored: (path) => path === 'lanyard.db',
      finds: /^lost|^does not start|^dangling/,
    },
  ]
  for (const { name, isIgnored, finds } of sabotages)
    test(`a disk that does not sync ${name} is found out`, async () => {
      const model = new DiskModel((node, disk) => isIgnored(disk.pathOf(node) ?? 'gone'))
      // What was promised last is what is missing then.
      const isCut = ({ kind }: Operation): boolean => kind === 'mark'
      const { violations } = await explore(operations, { scratch, model, isCut, maxViolations: 1 })
      assert.match(violations[0] ?? 'nothing was found', finds)
    })
})
