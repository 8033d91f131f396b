/** Access tokens as their owners handle them: made once, narrowed, rotated with an overlap, ended; and what is kept of them. */
import assert from 'node:assert/strict'
import { suite, test, type TestContext } from 'node:test'
import { isAccessToken, parseAccessToken, makeAccessToken } from '../../auth/access-token.ts'
import { accountDirectory, addAccount, updateAccount } from '../../registry/accounts.ts'
import {
  allTokensOf,
  changeTokenScopes,
  makeToken,
  revokeSecret,
  revokeToken,
  rotateToken,
  tokensOf,
  TokenUses,
  type MadeToken,
  type TokenWish,
} from '../../registry/access-tokens.ts'
import { hashAccessToken } from '../../auth/access-token.ts'
import type { FoundToken } from '../../auth/identity.ts'
import { RegistryError } from '../../oci/errors.ts'
import { assertRejected } from '../support/refusal.ts'
import { openFloor, type Floor } from '../support/registry-floor.ts'

const scopes = [{ actions: ['pull'], repositories: 'alice/*' }] as const
const dayMs = 86_400_000

interface Stage extends Floor {
  readonly make: (facts?: Partial<TokenWish>) => Promise<MadeToken>
  /** What authentication finds by the secret. */
  readonly find: (made: MadeToken) => Promise<FoundToken | undefined>
  readonly uses: TokenUses
}

async function setStage(t: TestContext): Promise<Stage> {
  const floor = await openFloor(t)
  const { database, registry, now } = floor
  for (const [name, isAdmin] of [
    ['root', true],
    ['alice', false],
  ] as const)
    await addAccount(database, { name, passwordHash: 'h', isAdmin, nowMs: 5 })
  const uses = new TokenUses(registry)
  const directory = accountDirectory(database, uses)
  return {
    ...floor,
    uses,
    make: (facts = {}) => makeToken(database, { account: 'alice', name: 'ci', scopes, expiresAtMs: now() + dayMs, nowMs: now(), ...facts }),
    find: ({ secret }) => directory.findTokenBySecret(hashAccessToken(secret)),
  }
}

suite('making an access token', () => {
  test('it is found by its secret with its account, and by its id', async (t) => {
    const { make, find, now, database, uses } = await setStage(t)
    const made = await make()
    assert.ok(isAccessToken(made.secret) && made.secret.startsWith('lyp_'))
    const { id, ...facts } = made.token
    const never = { lastUsedAtMs: undefined, lastUsedFrom: undefined }
    const times = { createdAtMs: now(), expiresAtMs: now() + dayMs }
    assert.deepEqual(facts, { name: 'ci', hint: made.secret.slice(-4), scopes, status: 'active', ...times, ...never })
    const found = await find(made)
    assert.equal(found?.account.name, 'alice')
    assert.deepEqual(found?.token, { id, name: 'ci', scopes })
    assert.deepEqual([found?.expiresAtMs, found?.revokedAtMs, found?.lastUsedAtMs], [now() + dayMs, undefined, undefined])
    assert.deepEqual(await accountDirectory(database, uses).findTokenById(id), found)
  })

  test('what is kept holds nothing of the secret', async (t) => {
    const { make, database } = await setStage(t)
    const { secret } = await make()
    const text = JSON.stringify(await database.read.selectFrom('access_token').selectAll().execute(), (_key, value: unknown) =>
      value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : value,
    )
    assert.ok(!text.includes(secret.slice(4, 20)) && !text.includes(secret.slice(20, 40)))
  })

  const refused: readonly (readonly [string, Partial<TokenWish>, RegExp])[] = [
    ['no name', { name: '' }, /^the name of a token has 1 to 64/],
    ['a name that needs quoting', { name: 'my token' }, /^the name of a token has 1 to 64/],
    ['a name that only a rotated one has', { name: 'ci~1' }, /^the name of a token has 1 to 64/],
    ['a long name', { name: 'x'.repeat(65) }, /^the name of a token has 1 to 64/],
    ['a time that is over', { expiresAtMs: 0 }, /^a token must expire later than now$/],
    ['no time', { expiresAtMs: Number.NaN }, /^a token must expire later than now$/],
  ]
  for (const [title, facts, message] of refused) {
    test(`it is refused with ${title}`, async (t) => {
      const { make, database } = await setStage(t)
      assert.match((await assertRejected('parameterInvalid', make(facts))).message, message)
      assert.deepEqual(await allTokensOf(database.read, 'alice', 0), [])
    })
  }

  test('it is refused for an account that is not there', async (t) => {
    const { make } = await setStage(t)
    assert.equal((await assertRejected('accountUnknown', make({ account: 'bob' }))).message, 'there is no account "bob"')
  })

  test('a name is taken while its token lives, and free when it has ended', async (t) => {
    const { make, database, now, advance, find } = await setStage(t)
    const first = await make()
    const error = await assertRejected('nameTaken', make())
    assert.equal(error.message, 'alice has an access token "ci" already: rotate it, or revoke it first')
    advance(dayMs)
    const second = await make()
    await revokeToken(database, { account: 'alice', name: 'ci', nowMs: now() })
    const third = await make({ expiresAtMs: undefined })
    const statuses = (await allTokensOf(database.read, 'alice', now())).map(({ name, status }) => `${name} ${status}`)
    assert.deepEqual(statuses, ['ci active', `ci~${first.token.id} expired`, `ci~${second.token.id} revoked`])
    assert.equal((await find(third))?.expiresAtMs, undefined)
  })

  test('those that ended long ago are forgotten', async (t) => {
    const { make, database, now, advance } = await setStage(t)
    await make({ name: 'old' })
    advance(91 * dayMs + 1)
    await make({ name: 'new' })
    assert.deepEqual(
      (await allTokensOf(database.read, 'alice', now())).map(({ name }) => name),
      ['new'],
    )
  })

  test('an account has so many and no more, and room is made of those that ended', async (t) => {
    const { make, database, now } = await setStage(t)
    const { id: account_id } = await database.read.selectFrom('account').select('id').where('name', '=', 'alice').executeTakeFirstOrThrow()
    const row = { account_id, hint: '', scopes: '[]', created_at_ms: 1, expires_at_ms: null }
    const fill = Array.from({ length: 200 }, (_, index) => ({ ...row, name: `t${index}`, secret_hash: Buffer.from(`hash ${index}`) }))
    await database.write(async (tx) => void (await tx.insertInto('access_token').values(fill).execute()))
    const error = await assertRejected('parameterInvalid', make())
    assert.equal(error.message, 'alice has 200 access tokens, as many as there may be: revoke some')
    await revokeToken(database, { account: 'alice', name: 't7', nowMs: now() })
    await make()
    assert.equal((await allTokensOf(database.read, 'alice', now())).length, 200)
  })

  test('of two that are made at once under one name, one is', async (t) => {
    const { make } = await setStage(t)
    const results = await Promise.allSettled([make(), make()])
    assert.deepEqual(results.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'])
  })
})

suite('rotating an access token', () => {
  test('the old secret goes on for the overlap, the new one has its name, its scopes and its life', async (t) => {
    const { make, find, database, now } = await setStage(t)
    const old = await make({ expiresAtMs: now() + 10 * dayMs })
    const rotation = { account: 'alice', name: 'ci', overlapMs: 1000, expiresAtMs: 'same', nowMs: now() + dayMs } as const
    const made = await rotateToken(database, rotation)
    assert.deepEqual([made.token.name, made.token.scopes], ['ci', scopes])
    assert.equal(made.token.expiresAtMs, now() + 11 * dayMs)
    const found = await find(old)
    assert.deepEqual([found?.expiresAtMs, found?.revokedAtMs, found?.token.name], [now() + dayMs + 1000, undefined, `ci~${old.token.id}`])
    assert.equal((await find(made))?.token.name, 'ci')
  })

  test('without an overlap the old secret ends at once; an overlap never lengthens its life', async (t) => {
    const { make, find, database, now } = await setStage(t)
    const old = await make()
    const rotate = (overlapMs: number) =>
      rotateToken(database, { account: 'alice', name: 'ci', overlapMs, expiresAtMs: undefined, nowMs: now() })
    const second = await rotate(100 * dayMs)
    assert.equal((await find(old))?.expiresAtMs, now() + dayMs)
    assert.equal(second.token.expiresAtMs, undefined)
    await rotate(0)
    assert.equal((await find(second))?.revokedAtMs, now())
  })

  test('what has ended, or was never there, is not rotated, and nothing changes', async (t) => {
    const { make, database, now, advance } = await setStage(t)
    const rotate = (name: string) => rotateToken(database, { account: 'alice', name, overlapMs: 0, expiresAtMs: 'same', nowMs: now() })
    assert.equal((await assertRejected('accessTokenUnknown', rotate('ci'))).message, 'alice has no access token "ci"')
    await make()
    advance(dayMs)
    const before = await allTokensOf(database.read, 'alice', now())
    assert.equal(
      (await assertRejected('parameterInvalid', rotate('ci'))).message,
      'the access token "ci" of alice is expired: create a new one',
    )
    assert.deepEqual(await allTokensOf(database.read, 'alice', now()), before)
  })
})

suite('ending and narrowing an access token', () => {
  test('a revoked one says since when; once more changes nothing', async (t) => {
    const { make, find, database, now } = await setStage(t)
    const made = await make()
    await revokeToken(database, { account: 'alice', name: 'ci', nowMs: now() })
    await revokeToken(database, { account: 'alice', name: 'ci', nowMs: now() + 5 })
    assert.equal((await find(made))?.revokedAtMs, now())
    const unknown = revokeToken(database, { account: 'alice', name: 'nothing', nowMs: 1 })
    assert.equal((await assertRejected('accessTokenUnknown', unknown)).message, 'alice has no access token "nothing"')
  })

  test('one that leaked is revoked by its secret alone', async (t) => {
    const { make, find, database, now } = await setStage(t)
    const [leaked, other] = [await make(), await make({ name: 'other' })]
    const found = await revokeSecret(database, { secret: parseAccessToken(leaked.secret), nowMs: now() })
    assert.deepEqual(found, { account: 'alice', name: 'ci' })
    assert.deepEqual([(await find(leaked))?.revokedAtMs, (await find(other))?.revokedAtMs], [now(), undefined])
    const nobodys = revokeSecret(database, { secret: makeAccessToken('person'), nowMs: now() })
    assert.match((await assertRejected('accessTokenUnknown', nobodys)).message, /^nobody has this access token/)
  })

  test('other scopes count from the next look', async (t) => {
    const { make, find, database, now } = await setStage(t)
    const made = await make()
    const narrow = [{ actions: ['pull'], repositories: 'alice/one' }] as const
    await changeTokenScopes(database, { account: 'alice', name: 'ci', scopes: narrow, nowMs: now() })
    assert.deepEqual((await find(made))?.token.scopes, narrow)
    await revokeToken(database, { account: 'alice', name: 'ci', nowMs: now() })
    await assertRejected('parameterInvalid', changeTokenScopes(database, { account: 'alice', name: 'ci', scopes, nowMs: now() }))
  })

  test('a new password ends the access tokens of its account, another change does not', async (t) => {
    const { make, find, database } = await setStage(t)
    const made = await make()
    const ofRoot = await make({ account: 'root' })
    await updateAccount(database, 'alice', { isDisabled: true })
    await updateAccount(database, 'alice', { isDisabled: false })
    assert.equal((await find(made))?.account.isDisabled, false)
    await updateAccount(database, 'alice', { passwordHash: 'new' })
    assert.equal(await find(made), undefined)
    assert.ok(await find(ofRoot))
  })

  test('tokens are listed a page at a time', async (t) => {
    const { make, database, now } = await setStage(t)
    for (const name of ['b', 'a', 'c']) await make({ name })
    const page = await tokensOf(database, { account: 'alice', after: 'a', limit: 1, nowMs: now() })
    assert.deepEqual(
      page.items.map(({ name }) => name),
      ['b'],
    )
    assert.ok(page.hasMore)
    await assertRejected('accountUnknown', tokensOf(database, { account: 'bob', after: undefined, limit: 1, nowMs: 1 }))
  })
})

suite('the last use of an access token', () => {
  test('it is noted with the address, once a minute however often it is used, by all processes together', async (t) => {
    const { make, find, registry, uses, advance, another } = await setStage(t)
    const made = await make()
    const other = new TokenUses(another('second').registry)
    const useBy = async (by: TokenUses, address: string): Promise<number | undefined> => {
      const found = await find(made)
      assert.ok(found)
      by.note(found, address)
      by.note(found, address)
      await registry.writing.whenIdle()
      return (await find(made))?.lastUsedAtMs
    }
    const firstMs = await useBy(uses, '10.0.0.1')
    assert.equal(firstMs, registry.clock())
    advance(59_999)
    assert.equal(await useBy(uses, '10.0.0.2'), firstMs)
    assert.equal(await useBy(other, '10.0.0.2'), firstMs)
    advance(1)
    assert.equal(await useBy(uses, '10.0.0.3'), registry.clock())
    const row = await registry.database.read.selectFrom('access_token').select('last_used_from').executeTakeFirst()
    assert.equal(row?.last_used_from, '10.0.0.3')
  })

  test('it costs no fsync, and a database that cannot be written is not asked by every request', async (t) => {
    const { make, find, registry, uses, database, advance } = await setStage(t)
    const found = await find(await make())
    assert.ok(found)
    const durable = t.mock.method(database, 'write', () => assert.fail('an fsync'))
    const relaxed = t.mock.method(database, 'writeRelaxed', () => Promise.reject(new RegistryError('storageFull')))
    for (let times = 0; times < 5; times++) uses.note(found, undefined)
    await registry.writing.whenIdle()
    assert.deepEqual([durable.mock.callCount(), relaxed.mock.callCount()], [0, 1])
    advance(60_000)
    uses.note(found, undefined)
    await registry.writing.whenIdle()
    assert.equal(relaxed.mock.callCount(), 2)
  })

  test('a clock that was set back stops nothing', async (t) => {
    const { make, find, registry, uses, advance } = await setStage(t)
    const made = await make()
    const first = await find(made)
    assert.ok(first)
    uses.note(first, 'a')
    await registry.writing.whenIdle()
    advance(-3_600_000)
    const again = await find(made)
    assert.ok(again)
    assert.doesNotThrow(() => uses.note(again, 'b'))
    await registry.writing.whenIdle()
  })
})
