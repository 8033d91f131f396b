/** The rules of browser sessions: what ends one, and what its cookie may look like (threat 42). */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import {
  isCsrfToken,
  isSessionAlive,
  newSessionSecret,
  sessionCookieName,
  sessionExpiryMs,
  sessionSecretHash,
} from '../../auth/sessions.ts'
import { makeAccount } from './cast.ts'

const limits = { idleMs: 1000, absoluteMs: 5000 }
const session = { createdAtMs: 10_000, lastSeenAtMs: 12_000, credentialVersion: 3 }
const alice = makeAccount('alice', { credentialVersion: 3 })

test('a session lasts until it was idle for too long, and never beyond its longest', () => {
  const isAlive = (nowMs: number, lastSeenAtMs = session.lastSeenAtMs) =>
    isSessionAlive({ ...session, lastSeenAtMs }, alice, { nowMs, limits })
  assert.equal(isAlive(12_999), true)
  assert.equal(isAlive(13_000), false)
  assert.equal(isAlive(14_999, 14_900), true)
  assert.equal(isAlive(15_000, 14_900), false)
  assert.equal(sessionExpiryMs({ createdAtMs: 10_000, lastSeenAtMs: 14_900 }, limits), 15_000)
})

test('a disabled account, and one whose credentials were changed since, has none', () => {
  const isAlive = (facts: Parameters<typeof makeAccount>[1]) => isSessionAlive(session, { ...alice, ...facts }, { nowMs: 12_000, limits })
  assert.equal(isAlive({}), true)
  assert.equal(isAlive({ isDisabled: true }), false)
  for (const credentialVersion of [2, 4]) assert.equal(isAlive({ credentialVersion }), false)
})

test('a cookie has 256 random bits, and only what looks like one is looked for', () => {
  const secret = newSessionSecret(randomBytes)
  assert.match(secret, /^[\w-]{43}$/)
  assert.equal(sessionSecretHash(secret)?.length, 32)
  for (const none of ['', 'x', `${secret}x`, secret.slice(1), `${secret.slice(1)}=`, `${secret.slice(1)}\0`, 'x'.repeat(100_000)])
    assert.equal(sessionSecretHash(none), undefined)
})

test('over TLS the cookie has a name that no other host can plant', () => {
  assert.deepEqual([sessionCookieName(true), sessionCookieName(false)], ['__Host-lanyard', 'lanyard-session'])
})

test('a token is the one of its session, or it is none, whatever its length', () => {
  const token = newSessionSecret(randomBytes)
  assert.equal(isCsrfToken(token, token), true)
  for (const sent of ['', token.slice(1), `${token}x`, newSessionSecret(randomBytes)]) assert.equal(isCsrfToken(sent, token), false)
})
