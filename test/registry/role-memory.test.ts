/** Roles that are remembered: as long as the version stays, never from an older one, and no more than there is room for. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GrantedRole } from '../../auth/roles.ts'
import { parseRepositoryName } from '../../oci/repository-name.ts'
import { RoleMemory } from '../../registry/role-memory.ts'

const app = parseRepositoryName('team/app')
const web = parseRepositoryName('team/web')

/** A memory whose rows can be changed, and held back. */
function memoryOf() {
  const rows: { role: GrantedRole | undefined; asked: number; until: Promise<void> | undefined } = {
    role: 'reader',
    asked: 0,
    until: undefined,
  }
  const memory = new RoleMemory(async () => {
    rows.asked++
    const { role } = rows
    await rows.until
    return role
  })
  return { rows, roleIn: (version: number, accountId = 1, name = app) => memory.roleIn({ version, accountId, name }) }
}

test('a role is looked up once for each account and repository, also that there is none', async () => {
  const { rows, roleIn } = memoryOf()
  assert.deepEqual([await roleIn(1), await roleIn(1), rows.asked], ['reader', 'reader', 1])
  rows.role = undefined
  assert.deepEqual([await roleIn(1, 2), await roleIn(1, 2), rows.asked], [undefined, undefined, 2])
  assert.deepEqual([await roleIn(1, 1, web), rows.asked], [undefined, 3])
})

test('with another version nothing is known any more', async () => {
  const { rows, roleIn } = memoryOf()
  await roleIn(1)
  rows.role = 'none'
  assert.deepEqual([await roleIn(2), rows.asked], ['none', 2])
})

test('a request that read an older version is answered from the rows, and leaves nothing behind', async () => {
  const { rows, roleIn } = memoryOf()
  await roleIn(2)
  rows.role = 'writer'
  assert.equal(await roleIn(1), 'writer')
  assert.deepEqual([await roleIn(2), rows.asked], ['reader', 2])
})

test('what was looked up under a version that has gone meanwhile is not remembered', async () => {
  const { rows, roleIn } = memoryOf()
  let free = (): void => undefined
  rows.until = new Promise((resolve) => (free = resolve))
  const slow = roleIn(1)
  rows.until = undefined
  rows.role = 'none'
  assert.equal(await roleIn(2, 2), 'none')
  free()
  assert.equal(await slow, 'reader')
  assert.equal(await roleIn(2), 'none')
})

test('there are never more than ten thousand', async () => {
  const { rows, roleIn } = memoryOf()
  for (let account = 0; account <= 10_000; account++) await roleIn(1, account)
  assert.equal(rows.asked, 10_001)
  await roleIn(1, 10_000)
  assert.equal(rows.asked, 10_001)
  await roleIn(1, 0)
  assert.equal(rows.asked, 10_002)
})
