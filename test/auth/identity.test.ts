/**
 * Account names and the identities made of them.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { accountIdOf, accountNameOf, parseAccountName } from '../../auth/identity.ts'
import { isRepositoryName, namespaceOf } from '../../oci/repository-name.ts'
import { anonymous, faultOf, signedIn } from './cast.ts'

test('an account name is one component of a repository name, of up to 64 characters', () => {
  for (const name of ['a', 'alice', 'a-b', 'a--b', 'a.b', 'a_b', 'a__b', '0', 'a'.repeat(64)]) assert.equal(parseAccountName(name), name)
})

test('anything else is refused with the rule', () => {
  const wrong = [
    '',
    'Alice',
    'a/b',
    '/a',
    'a/',
    'a..b',
    '.a',
    '..',
    'a___b',
    '-a',
    'a-',
    'a b',
    'a:b',
    'ä',
    'a\0',
    'a\n',
    '_catalog',
    'a'.repeat(65),
  ]
  for (const name of wrong) {
    const fault = faultOf(() => parseAccountName(name))
    assert.equal(fault.reason, 'parameterInvalid', JSON.stringify(name))
    assert.match(fault.message, /an account name has 1 to 64/)
  }
})

test('every accepted name is the namespace of what is in it', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[a-z0-9._/-]{0,70}$/), (text) => {
      const isComponent = isRepositoryName(text) && !text.includes('/') && text.length <= 64
      const name = isComponent ? parseAccountName(text) : faultOf(() => parseAccountName(text)).reason
      const repository = `${text}/app`
      assert.equal(name, isComponent ? text : 'parameterInvalid')
      if (isComponent) assert.ok(isRepositoryName(repository) && namespaceOf(repository) === name)
    }),
  )
})

test('the anonymous caller has neither name nor id', () => {
  assert.equal(accountNameOf(anonymous), undefined)
  assert.equal(accountIdOf(anonymous), null)
  assert.equal(accountNameOf(signedIn('alice', { id: 7 })), 'alice')
  assert.equal(accountIdOf(signedIn('alice', { id: 7 })), 7)
})
