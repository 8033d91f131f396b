/** System errors become the registry's reasons: a full disk apart from a failing one, everything unknown as it is. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RegistryError } from '../../oci/errors.ts'
import { systemCode, translateFault, withFaultsTranslated } from '../../storage/faults.ts'
import { failureOf } from '../support/refusal.ts'

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: as the system says it`), { code })
}

const translated = [
  ['ENOSPC', 'storageFull'],
  ['EDQUOT', 'storageFull'],
  ['SQLITE_FULL', 'storageFull'],
  ['EIO', 'storageFailed'],
  ['EROFS', 'storageFailed'],
  ['EACCES', 'storageFailed'],
  ['EPERM', 'storageFailed'],
  ['EMFILE', 'storageFailed'],
  ['ENFILE', 'storageFailed'],
  ['SQLITE_IOERR_WRITE', 'storageFailed'],
  ['SQLITE_IOERR_FSYNC', 'storageFailed'],
  ['SQLITE_READONLY', 'storageFailed'],
  ['SQLITE_READONLY_DBMOVED', 'storageFailed'],
  ['SQLITE_CORRUPT', 'storageFailed'],
  ['SQLITE_CORRUPT_INDEX', 'storageFailed'],
  ['SQLITE_CANTOPEN', 'storageFailed'],
  ['SQLITE_BUSY', 'storageFailed'],
  ['SQLITE_BUSY_RECOVERY', 'storageFailed'],
] as const

for (const [code, reason] of translated) {
  test(`${code} is ${reason}, with the system's error as its cause`, async () => {
    const cause = systemError(code)
    const error = await failureOf(withFaultsTranslated(() => Promise.reject(cause)))
    assert.ok(error instanceof RegistryError)
    assert.equal(error.reason, reason)
    assert.equal(error.status, reason === 'storageFull' ? 403 : 503)
    assert.equal(error.cause, cause)
  })
}

const untouched: readonly (readonly [what: string, error: unknown])[] = [
  ['a missing file', systemError('ENOENT')],
  ['a broken rule of the schema', systemError('SQLITE_CONSTRAINT_FOREIGNKEY')],
  ['an error without a code', new Error('EIO')],
  ['an error whose code is a number', Object.assign(new Error('x'), { code: 5 })],
  ["one of the registry's own", new RegistryError('blobUnknown')],
  ['something that is no error', 'ENOSPC'],
]

for (const [what, error] of untouched) {
  test(`${what} passes through unchanged`, () => assert.equal(translateFault(error), error))
}

test('work that succeeds keeps its value', async () => {
  assert.equal(await withFaultsTranslated(async () => 7), 7)
})

test('only a text is a system code', () => {
  assert.equal(systemCode(systemError('EIO')), 'EIO')
  assert.equal(systemCode(Object.assign(new Error('x'), { code: 5 })), undefined)
  assert.equal(systemCode(undefined), undefined)
  assert.equal(systemCode({ code: 'EIO' }), undefined)
})
