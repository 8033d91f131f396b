/**
 * Signing keys: files that are whole and private, a ring that follows its folder (threat 37).
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { createSigningKey, KeyRing, listSigningKeys, pruneSigningKeys, revokeSigningKey } from '../../auth/signing-keys.ts'
import { TestClock } from './cast.ts'

function makeFolder(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), 'keys-'))
  t.after(() => rmSync(root, { recursive: true }))
  return join(root, 'keys')
}

const kidsOf = async (folder: string): Promise<string[]> => (await listSigningKeys(folder)).map(({ kid }) => kid)

test('a key is one private file in a private folder, named for its thumbprint', async (t) => {
  const folder = makeFolder(t)
  const clock = new TestClock()
  const key = await createSigningKey(folder, clock.now)
  assert.deepEqual(readdirSync(folder), [key.file])
  assert.equal(statSync(folder).mode & 0o777, 0o700)
  assert.equal(statSync(join(folder, key.file)).mode & 0o777, 0o600)
  assert.deepEqual(await listSigningKeys(folder), [{ kid: key.kid, createdMs: clock.ms, file: key.file }])
  const { publicKey, privateKey } = (await KeyRing.open(folder, clock.now)).current()
  const { crv, kty, x, y } = publicKey.export({ format: 'jwk' })
  assert.equal(createHash('sha256').update(`{"crv":"${crv}","kty":"${kty}","x":"${x}","y":"${y}"}`).digest('base64url'), key.kid)
  assert.equal(privateKey.asymmetricKeyDetails?.namedCurve, 'prime256v1')
})

test('no name of a key begins with a dash, or it could not be given to a command', async (t) => {
  const folder = makeFolder(t)
  // One in 64 would.
  for (let count = 0; count < 400; count++) await createSigningKey(folder, Date.now)
  assert.deepEqual(
    (await kidsOf(folder)).filter((kid) => kid.startsWith('-')),
    [],
  )
})

test('a ring makes the folder and the first key', async (t) => {
  const folder = makeFolder(t)
  const ring = await KeyRing.open(folder, new TestClock().now)
  assert.deepEqual(await kidsOf(folder), [ring.current().kid])
  assert.equal(ring.find(ring.current().kid), ring.current())
})

test('a folder that is not there has no keys', async (t) => {
  assert.deepEqual(await listSigningKeys(makeFolder(t)), [])
})

test('the newest key signs, also if the clock was set back before it was made', async (t) => {
  const folder = makeFolder(t)
  const clock = new TestClock()
  await createSigningKey(folder, clock.now)
  clock.ms -= 3_600_000
  const second = await createSigningKey(folder, clock.now)
  assert.equal((await KeyRing.open(folder, clock.now)).current().kid, second.kid)
  const third = await createSigningKey(folder, clock.now)
  assert.equal((await kidsOf(folder))[0], third.kid)
})

test('a rotation elsewhere is seen within a second, and the old key goes on verifying', async (t) => {
  const folder = makeFolder(t)
  const clock = new TestClock()
  const ring = await KeyRing.open(folder, clock.now)
  const old = ring.current()
  const fresh = await createSigningKey(folder, clock.now)
  clock.ms += 999
  await ring.refreshIfChanged()
  assert.equal(ring.current(), old, 'not looked at more than once a second')
  clock.ms += 1
  await ring.refreshIfChanged()
  assert.equal(ring.current().kid, fresh.kid)
  assert.equal(ring.find(old.kid), old)
})

test('a ring looks at its folder although the clock was set back', async (t) => {
  const folder = makeFolder(t)
  const clock = new TestClock()
  const ring = await KeyRing.open(folder, clock.now)
  const fresh = await createSigningKey(folder, clock.now)
  clock.ms -= 3_600_000
  await ring.refreshIfChanged()
  assert.equal(ring.current().kid, fresh.kid)
})

test('an unknown kid is looked for at once, by all who ask for it together', async (t) => {
  const folder = makeFolder(t)
  const clock = new TestClock()
  const ring = await KeyRing.open(folder, clock.now)
  const { kid } = await createSigningKey(folder, clock.now)
  const found = await Promise.all([ring.findFresh(kid), ring.findFresh(kid), ring.findFresh(kid)])
  assert.deepEqual(
    found.map((key) => key?.kid),
    [kid, kid, kid],
  )
})

test('unknown kids make it look at the folder no more than twenty times a second', async (t) => {
  const folder = makeFolder(t)
  const clock = new TestClock()
  const ring = await KeyRing.open(folder, clock.now)
  assert.equal(await ring.findFresh('x'.repeat(43)), undefined)
  const { kid } = await createSigningKey(folder, clock.now)
  clock.ms += 49
  assert.equal(await ring.findFresh(kid), undefined)
  clock.ms += 1
  assert.equal((await ring.findFresh(kid))?.kid, kid)
})

test('a kid that no key can have is not looked for', async (t) => {
  const folder = makeFolder(t)
  const clock = new TestClock()
  const ring = await KeyRing.open(folder, clock.now)
  for (const kid of ['', '../../etc/passwd', "' or 1=1 --", 'x'.repeat(44), '__proto__']) assert.equal(await ring.findFresh(kid), undefined)
  const { kid } = await createSigningKey(folder, clock.now)
  assert.equal((await ring.findFresh(kid))?.kid, kid, 'they did not use up the next look')
})

test('a revoked key is gone within a second; of the last one a new key takes the place', async (t) => {
  const folder = makeFolder(t)
  const clock = new TestClock()
  const ring = await KeyRing.open(folder, clock.now)
  const leaked = ring.current()
  assert.equal(await revokeSigningKey(folder, leaked.kid), true)
  assert.equal(await revokeSigningKey(folder, leaked.kid), false)
  assert.equal(await revokeSigningKey(folder, '../x'), false)
  clock.ms += 1000
  await ring.refreshIfChanged()
  assert.equal(ring.find(leaked.kid), undefined)
  assert.notEqual(ring.current().kid, leaked.kid)
  assert.deepEqual(await kidsOf(folder), [ring.current().kid])
})

test('pruning deletes only keys that were replaced before the given instant', async (t) => {
  const folder = makeFolder(t)
  const clock = new TestClock()
  const keys: string[] = []
  const start = clock.ms
  for (let day = 0; day < 3; day++) {
    clock.ms = start + day * 86_400_000
    keys.push((await createSigningKey(folder, clock.now)).kid)
  }
  assert.deepEqual(await pruneSigningKeys(folder, start + 86_400_000), [], 'the first was replaced on the second day')
  assert.deepEqual(await pruneSigningKeys(folder, start + 86_400_001), [keys[0]])
  assert.deepEqual(await kidsOf(folder), [keys[2], keys[1]])
  assert.deepEqual(await pruneSigningKeys(folder, Number.MAX_SAFE_INTEGER), [keys[1]])
  assert.deepEqual(await kidsOf(folder), [keys[2]], 'the key that signs is never pruned')
})

test('what a process left that died while making a key is not a key, and pruned once it is old', async (t) => {
  const folder = makeFolder(t)
  const clock = new TestClock()
  const { file } = await createSigningKey(folder, clock.now)
  const leftover = `.${'x'.repeat(43)}.tmp`
  writeFileSync(join(folder, leftover), 'half a k')
  writeFileSync(join(folder, 'notes.txt'), 'not ours')
  utimesSync(join(folder, leftover), 1, 1)
  assert.equal((await KeyRing.open(folder, clock.now)).current().file, file)
  await pruneSigningKeys(folder, 1000)
  assert.ok(readdirSync(folder).includes(leftover))
  await pruneSigningKeys(folder, 1001)
  assert.deepEqual(readdirSync(folder).toSorted(), [file, 'notes.txt'])
})

test('a damaged key, or one under the name of another, is named and not used', async (t) => {
  const folder = makeFolder(t)
  const clock = new TestClock()
  const [one, two] = [await createSigningKey(folder, clock.now), await createSigningKey(folder, clock.now)]
  renameSync(join(folder, one.file), join(folder, two.file))
  await assert.rejects(
    KeyRing.open(folder, clock.now),
    (error: Error) => error.message.includes(two.file) && !error.message.includes('PRIVATE'),
  )
  writeFileSync(join(folder, two.file), '-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n')
  await assert.rejects(
    KeyRing.open(folder, clock.now),
    (error: Error) => error.message.includes(two.file) && !error.message.includes('secret'),
  )
})

test('a damaged new key does not keep a revoked one alive', async (t) => {
  const folder = makeFolder(t)
  const clock = new TestClock()
  const ring = await KeyRing.open(folder, clock.now)
  const leaked = ring.current()
  const fresh = await createSigningKey(folder, clock.now)
  writeFileSync(join(folder, fresh.file), 'damaged')
  await revokeSigningKey(folder, leaked.kid)
  clock.ms += 1000
  await assert.rejects(ring.refreshIfChanged(), /damaged/)
  assert.equal(ring.find(leaked.kid), undefined)
})
