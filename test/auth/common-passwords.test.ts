/** The list of passwords that everybody tries first: as long as it says, in order, and looked at without regard to case. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { isCommonPassword } from '../../auth/common-passwords.ts'

const file = readFileSync(new URL('../../auth/common-passwords.txt', import.meta.url), 'utf8')
const passwords = file.split('\n').filter((line) => line !== '' && !line.startsWith('# '))

test('there are 3,000 of at least 8 characters, in lower case, each once and in order', () => {
  assert.equal(passwords.length, 3000)
  assert.deepEqual(passwords, [...new Set(passwords)].toSorted())
  for (const password of passwords) assert.ok(password.length >= 8 && password === password.toLowerCase(), password)
  assert.ok(file.endsWith('\n') && file.length < 40_000)
  assert.match(file, /^# .*\n(?:# .*\n)*[^#]/, 'the source is named')
})

test('every one of them is known, in whatever case', () => {
  for (const index of [0, 1, 1499, 2998, 2999]) {
    const password = passwords[index] ?? ''
    for (const typed of [password, password.toUpperCase(), `${password.slice(0, 1).toUpperCase()}${password.slice(1)}`])
      assert.equal(isCommonPassword(typed), true, typed)
  }
  for (const known of ['12345678', 'password', 'Password1', 'qwertyuiop', 'iloveyou', 'trustno1', 'SUNSHINE'])
    assert.equal(isCommonPassword(known), true, known)
})

test('others are not, nor are parts of the list', () => {
  for (const rare of ['', 'correct horse battery', 'passwor', `${passwords[0]}${passwords[1]}`, '# ', passwords[5]?.slice(1) ?? ''])
    assert.equal(isCommonPassword(rare) && !passwords.includes(rare), false, rare)
})
