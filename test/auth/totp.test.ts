/** Codes that change with the time, held against what the standards print; and that none is taken twice. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { fromBase32, matchTotp, newTotpSecret, toBase32, totpCode, totpStepAt, totpUri } from '../../auth/totp.ts'

/** Of the examples in RFC 4226 and RFC 6238. */
const secret = toBase32(Buffer.from('12345678901234567890'))

test('the codes are those of RFC 6238, appendix B', () => {
  for (const [seconds, code] of [
    [59, '94287082'],
    [1111111109, '07081804'],
    [1111111111, '14050471'],
    [1234567890, '89005924'],
    [2000000000, '69279037'],
    [20000000000, '65353130'],
  ] as const) {
    assert.equal(totpCode(secret, totpStepAt(seconds * 1000), 8), code)
  }
})

test('with six digits they are those of RFC 4226, appendix D', () => {
  const codes = ['755224', '287082', '359152', '969429', '338314', '254676', '287922', '162583', '399871', '520489']
  assert.deepEqual(
    codes.map((_, step) => totpCode(secret, step)),
    codes,
  )
})

test('base32 is that of RFC 4648, without padding', () => {
  const examples = { '': '', f: 'MY', fo: 'MZXQ', foo: 'MZXW6', foob: 'MZXW6YQ', fooba: 'MZXW6YTB', foobar: 'MZXW6YTBOI' }
  for (const [text, encoded] of Object.entries(examples)) {
    assert.equal(toBase32(Buffer.from(text)), encoded)
    assert.equal(fromBase32(encoded).toString(), text)
  }
  for (const text of ['mzxw6', '1', 'MZ=W', ' ']) assert.throws(() => fromBase32(text), RangeError)
})

test('any bytes survive base32', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => assert.deepEqual(fromBase32(toBase32(bytes)), Buffer.from(bytes))))
})

const nowMs = 1_764_000_000_000
const now = totpStepAt(nowMs)

test('the code of this half minute, the one before and the one after it are taken, no other', () => {
  for (const distance of [-3, -2, -1, 0, 1, 2, 3]) {
    const step = matchTotp({ secret, code: totpCode(secret, now + distance), nowMs, lastStep: 0 })
    assert.equal(step, Math.abs(distance) <= 1 ? now + distance : undefined, `${distance} steps away`)
  }
})

test('a code that was taken is used up, and so is every one before it', () => {
  const codeAt = (step: number) => totpCode(secret, step)
  assert.equal(matchTotp({ secret, code: codeAt(now), nowMs, lastStep: now }), undefined)
  assert.equal(matchTotp({ secret, code: codeAt(now - 1), nowMs, lastStep: now }), undefined)
  assert.equal(matchTotp({ secret, code: codeAt(now + 1), nowMs, lastStep: now }), now + 1)
})

test('spaces in a code do not count; whatever is not six digits is none', () => {
  const code = totpCode(secret, now)
  assert.equal(matchTotp({ secret, code: ` ${code.slice(0, 3)} ${code.slice(3)} `, nowMs, lastStep: 0 }), now)
  for (const wrong of ['', code.slice(1), `${code}0`, `+${code.slice(1)}`, code.replace(/./, 'x'), '１２３４５６', `${code}\0`])
    assert.equal(matchTotp({ secret, code: wrong, nowMs, lastStep: 0 }), undefined, wrong)
})

test('a new secret has 160 random bits, and its URI is what apps read', () => {
  const made = newTotpSecret((size) => Buffer.alloc(size, 0xff))
  assert.equal(fromBase32(made).length, 20)
  assert.equal(
    totpUri({ secret: made, account: 'alice', issuer: 'My Registry' }),
    `otpauth://totp/My%20Registry:alice?secret=${made}&issuer=My%20Registry&algorithm=SHA1&digits=6&period=30`,
  )
})
