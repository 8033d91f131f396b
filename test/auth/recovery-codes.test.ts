/** Recovery codes: enough of them, each as random as a key, and taken however a person types them. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { newRecoveryCodes, recoveryCodeHash } from '../../auth/recovery-codes.ts'

test('there are ten different ones of 80 random bits, in groups that can be read aloud', () => {
  const sizes: number[] = []
  const codes = newRecoveryCodes((size) => (sizes.push(size), randomBytes(size)))
  assert.equal(new Set(codes).size, 10)
  assert.deepEqual(new Set(sizes), new Set([10]))
  for (const code of codes) assert.match(code, /^[a-z2-7]{4}(-[a-z2-7]{4}){3}$/)
})

test('case, spaces and dashes do not count; anything else does', () => {
  const hash = recoveryCodeHash('abcd-efgh-2345-wxyz')
  assert.ok(hash)
  for (const typed of ['ABCDEFGH2345WXYZ', ' abcd efgh 2345 wxyz\n', 'ab-cd-efgh2345wxyz']) assert.deepEqual(recoveryCodeHash(typed), hash)
  assert.notDeepEqual(recoveryCodeHash('abcd-efgh-2345-wxya'), hash)
  for (const none of ['', '123456', 'abcd-efgh-2345-wxy', 'abcd-efgh-2345-wxyz-a', 'abcd-efgh-2345-wxy1', 'äbcd-efgh-2345-wxyz'])
    assert.equal(recoveryCodeHash(none), undefined, none)
})
