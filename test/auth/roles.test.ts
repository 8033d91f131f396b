/**
 * Roles: what each allows, and what several grants come to, as a table and against a plainer telling of the rule.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { allows, leastRoleFor, pullableBy, roleFrom, roles, type Grant, type GrantedRole } from '../../auth/roles.ts'
import { repositoryActions } from '../../auth/scope.ts'
import { namespaceOf } from '../../oci/repository-name.ts'
import { anyGrants, anyName, names, repo } from './cast.ts'

const actions: readonly (readonly [GrantedRole | undefined, string])[] = [
  [undefined, ''],
  ['none', ''],
  ['reader', 'pull'],
  ['writer', 'pull push'],
  ['maintainer', 'pull push delete'],
  ['owner', 'pull push delete'],
]

for (const [role, allowed] of actions) {
  test(`${role ?? 'no role'} allows ${allowed || 'nothing'}`, () => {
    assert.equal(repositoryActions.filter((action) => allows(role, action)).join(' '), allowed)
  })
}

test('whoever asks for an action is told the lowest role that allows it', () => {
  assert.deepEqual(repositoryActions.map(leastRoleFor), ['reader', 'writer', 'maintainer'])
})

const inNamespace = (role: GrantedRole, namespace = 'team'): Grant => ({ namespace, repository: '', role })
const inRepository = (role: GrantedRole, repository = 'team/app'): Grant => ({
  namespace: namespaceOf(repo(repository)),
  repository,
  role,
})

/** What the grants come to in team/app. */
const cases: readonly (readonly [string, readonly Grant[], GrantedRole | undefined])[] = [
  ['nothing is granted', [], undefined],
  ['a role in the namespace is one in its repositories', [inNamespace('writer')], 'writer'],
  ['a role in another namespace is none here', [inNamespace('owner', 'team-2'), inRepository('owner', 'team-2/app')], undefined],
  ['a role in another repository is none here', [inRepository('owner', 'team/app/web')], undefined],
  ['of an own role and a team’s the higher counts', [inNamespace('reader'), inNamespace('maintainer')], 'maintainer'],
  ['an exception raises', [inNamespace('reader'), inRepository('writer')], 'writer'],
  ['an exception lowers', [inNamespace('maintainer'), inRepository('reader')], 'reader'],
  ['an exception takes away', [inNamespace('maintainer'), inRepository('none')], 'none'],
  ['an exception stands alone', [inRepository('reader')], 'reader'],
  ['of two exceptions the higher counts', [inRepository('none'), inRepository('reader')], 'reader'],
  [
    'an exception lowers also what a team has in the namespace',
    [inNamespace('writer'), inNamespace('reader'), inRepository('none')],
    'none',
  ],
  ['who owns the namespace is never lowered', [inNamespace('owner'), inRepository('none')], 'owner'],
  ['who owns the namespace by a team is not either', [inNamespace('reader'), inNamespace('owner'), inRepository('none')], 'owner'],
  ['who owns one repository owns no more', [inRepository('owner', 'team/app/web'), inNamespace('reader')], 'reader'],
]

for (const [title, grants, role] of cases) {
  test(`in a repository, ${title}: ${role ?? 'no role'}`, () => {
    assert.equal(roleFrom(grants, repo('team/app')), role)
    assert.equal(roleFrom(grants.toReversed(), repo('team/app')), role, 'whatever the order')
  })
}

const weights = ['none', ...roles] as const

/** The rule, said as a contest of numbers. */
function modelOf(grants: readonly Grant[], name: string): GrantedRole | undefined {
  let best = -1
  let role: GrantedRole | undefined
  for (const grant of grants) {
    const isHere = grant.repository === name
    const isAround = grant.repository === '' && name.split('/')[0] === grant.namespace
    if (!isHere && !isAround) continue
    const weight = isAround && grant.role === 'owner' ? 100 : weights.indexOf(grant.role) + (isHere ? 10 : 0)
    if (weight <= best) continue
    best = weight
    role = grant.role
  }
  return role
}

test('any grants come to what a contest of their weights comes to', () => {
  fc.assert(
    fc.property(anyGrants, anyName, (grants, name) => assert.equal(roleFrom(grants, name), modelOf(grants, name))),
    { numRuns: 1000 },
  )
})

test('what grants open to pulling is the same as a set and one by one', () => {
  fc.assert(
    fc.property(anyGrants, (grants) => {
      const { namespaces, repositories, without } = pullableBy(grants)
      for (const name of names.map(repo)) {
        const isOpen = repositories.includes(name) || (namespaces.includes(namespaceOf(name)) && !without.includes(name))
        assert.equal(isOpen, allows(roleFrom(grants, name), 'pull'), name)
      }
    }),
    { numRuns: 1000 },
  )
})

test('another grant of the same level never takes a right away', () => {
  fc.assert(
    fc.property(anyGrants, anyName, fc.constantFrom(...roles), (grants, name, role) => {
      const more = [...grants, { namespace: namespaceOf(name), repository: '', role }]
      for (const action of repositoryActions) {
        if (allows(roleFrom(grants, name), action)) assert.ok(allows(roleFrom(more, name), action), action)
      }
    }),
    { numRuns: 1000 },
  )
})
