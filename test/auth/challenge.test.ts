/**
 * The two headers: the challenge as clients read it, and every way to write Authorization (threats 12, 40).
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { basicChallenge, bearerChallenge, parseAuthorization, sessionChallenge, type Authorization } from '../../auth/challenge.ts'

const base = { realm: 'https://reg.example:5000/token', service: 'reg.example:5000' }
const base64 = (text: string | Buffer): string => Buffer.from(text).toString('base64')

test('the challenge is one Bearer with quoted values', () => {
  assert.equal(bearerChallenge(base), 'Bearer realm="https://reg.example:5000/token",service="reg.example:5000"')
  assert.equal(
    bearerChallenge({ ...base, scope: 'repository:a/b:pull,push repository:c:pull', error: 'insufficient_scope' }),
    'Bearer realm="https://reg.example:5000/token",service="reg.example:5000",scope="repository:a/b:pull,push repository:c:pull",error="insufficient_scope"',
  )
  assert.match(bearerChallenge({ ...base, error: 'invalid_token' }), /,error="invalid_token"$/)
  assert.match(
    bearerChallenge({ ...base, error: 'insufficient_scope', description: 'the token "ci" covers pull, not push' }),
    /,error="insufficient_scope",error_description="the token 'ci' covers pull, not push"$/,
  )
})

test('where there are no tokens the challenge is one Basic', () => {
  assert.equal(basicChallenge('lanyard'), 'Basic realm="lanyard", charset="UTF-8"')
  assert.equal(basicChallenge('x"\r\ny'), 'Basic realm="xy", charset="UTF-8"')
})

test('an absent or empty scope is left out', () => {
  assert.equal(bearerChallenge({ ...base, scope: '' }), bearerChallenge(base))
  assert.equal(bearerChallenge({ ...base, scope: undefined, error: undefined }), bearerChallenge(base))
})

test('whatever is put in, there is one challenge of four quoted values, in plain ASCII', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (realm, service, scope) => {
      const challenge = bearerChallenge({ realm, service, scope: `x${scope}`, error: 'invalid_token' })
      assert.match(challenge, /^Bearer realm="[\x20-\x7e]*",service="[\x20-\x7e]*",scope="[\x20-\x7e]*",error="invalid_token"$/)
      assert.equal(challenge.split('"').length, 9)
      assert.ok(!challenge.includes('\\'))
    }),
  )
})

test('a host that tries to add a header or a parameter adds nothing', () => {
  const challenge = bearerChallenge({ realm: 'http://x",error="none\r\nSet-Cookie: a=b', service: 'x' })
  assert.equal(challenge, 'Bearer realm="http://x,error=noneSet-Cookie: a=b",service="x"')
})

test('where browsers sign in the challenge is one that none of them answers with a window of its own', () => {
  assert.equal(sessionChallenge('lan"yard\r\n'), 'Session realm="lanyard"')
})

const none: Authorization = { kind: 'none' }
const malformed: Authorization = { kind: 'malformed' }
const user = (username: string, password: string): Authorization => ({ kind: 'basic', username, password })

const table: readonly (readonly [string, string | undefined, Authorization])[] = [
  ['no header', undefined, none],
  ['an empty header', '', none],
  ['Basic', `Basic ${base64('me:secret')}`, user('me', 'secret')],
  ['the scheme in any case', `bASIC ${base64('me:secret')}`, user('me', 'secret')],
  ['more than one space', `Basic   ${base64('me:secret')}`, user('me', 'secret')],
  ['a password with colons', `Basic ${base64('user:na:me')}`, user('user', 'na:me')],
  ['UTF-8', `Basic ${base64('jürgen:pässwört😀')}`, user('jürgen', 'pässwört😀')],
  ['a byte order mark', `Basic ${base64('\uFEFFme:x')}`, user('\uFEFFme', 'x')],
  ['neither user nor password', `Basic ${base64(':')}`, none],
  ['no user', `Basic ${base64(':x')}`, user('', 'x')],
  ['no password', `Basic ${base64('me:')}`, user('me', '')],
  ['no colon', `Basic ${base64('me')}`, malformed],
  ['no credentials', 'Basic', malformed],
  ['empty credentials', 'Basic ', malformed],
  ['NUL in the user', `Basic ${base64('m\0e:x')}`, malformed],
  ['NUL in the password', `Basic ${base64('me:x\0y')}`, malformed],
  ['not UTF-8', `Basic ${base64(Buffer.from([0x6d, 0x3a, 0xff, 0xfe]))}`, malformed],
  ['overlong UTF-8', `Basic ${base64(Buffer.from([0x6d, 0x3a, 0xc0, 0x80]))}`, malformed],
  ['base64 without padding', 'Basic bWU6c2VjcmV0cw', malformed],
  ['base64 with bits to spare', 'Basic bWU6c2VjcmV0cx==', malformed],
  ['base64 for URLs', `Basic ${base64('me:>>>???').replaceAll('+', '-').replaceAll('/', '_')}`, malformed],
  ['no base64', 'Basic me:secret', malformed],
  ['base64 and more', `Basic ${base64('me:x')} more`, malformed],
  ['Bearer', 'Bearer a.b.c', { kind: 'bearer', token: 'a.b.c' }],
  ['bearer in small letters', 'bearer a.b.c', { kind: 'bearer', token: 'a.b.c' }],
  ['Bearer without a token', 'Bearer ', malformed],
  ['another scheme', 'Negotiate abc', malformed],
  ['a token without a scheme', 'abc', malformed],
  ['more than 64 KiB', `Basic ${base64(`me:${'x'.repeat(70_000)}`)}`, malformed],
]

for (const [title, header, expected] of table) {
  test(`reads ${title}`, () => assert.deepEqual(parseAuthorization(header), expected))
}

test('any user without a colon and any password come out as they went in', () => {
  const anyText = fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0'))
  fc.assert(
    fc.property(anyText, anyText, (name, password) => {
      const username = name.replaceAll(':', '')
      const expected = username === '' && password === '' ? none : user(username, password)
      assert.deepEqual(parseAuthorization(`Basic ${base64(`${username}:${password}`)}`), expected)
    }),
  )
})

test('no header makes it throw', () => {
  fc.assert(
    fc.property(fc.constantFrom('', 'Basic ', 'Bearer ', 'basic'), fc.string({ unit: 'binary' }), (scheme, rest) => {
      assert.ok(['none', 'basic', 'bearer', 'malformed'].includes(parseAuthorization(scheme + rest).kind))
    }),
  )
})
