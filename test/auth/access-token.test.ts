/**
 * How an access token is written, and what its scopes cover (threats 40, 57).
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  coveredNames,
  covers,
  describeTokenScopes,
  hasAccessTokenForm,
  hashAccessToken,
  hintOf,
  includesScopes,
  isAccessToken,
  makeAccessToken,
  matchesPattern,
  parseAccessToken,
  parseTokenScopes,
  type TokenKind,
  type TokenScope,
} from '../../auth/access-token.ts'
import { anyName, anyScope, faultOf, repo } from './cast.ts'

const anyBytes = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes))
const anyKind = fc.constantFrom<TokenKind>('person', 'robot')
const anySecret = fc.record({ kind: anyKind, bytes: anyBytes }).map(({ kind, bytes }) => makeAccessToken(kind, () => bytes))

test('a secret is the prefix of its kind and 49 letters and digits, whatever the random bytes', () => {
  fc.assert(
    fc.property(anyKind, anyBytes, (kind, bytes) => {
      const secret = makeAccessToken(kind, () => bytes)
      assert.match(secret, kind === 'person' ? /^lyp_[0-9A-Za-z]{49}$/ : /^lyr_[0-9A-Za-z]{49}$/)
      assert.ok(isAccessToken(secret))
      assert.equal(parseAccessToken(secret), secret)
    }),
  )
  assert.match(
    makeAccessToken('person', () => Buffer.alloc(32)),
    /^lyp_0{43}/,
  )
  assert.match(
    makeAccessToken('person', () => Buffer.alloc(32, 255)),
    /^lyp_[0-9A-Za-z]{49}$/,
    'the largest number has room',
  )
})

test('other bytes make another secret, and so does nothing but chance', () => {
  fc.assert(
    fc.property(anyBytes, anyBytes, (one, other) => {
      const isSame = makeAccessToken('robot', () => one) === makeAccessToken('robot', () => other)
      assert.equal(isSame, one.equals(other))
    }),
  )
  assert.notEqual(makeAccessToken('robot'), makeAccessToken('robot'))
})

test('the checksum is CRC32, so that a mistyped character is told apart without asking anybody', () => {
  // Made by hand: crc32('lyp_' + 43 zeros), in base62 with 6 digits.
  const secret = makeAccessToken('person', () => Buffer.alloc(32))
  assert.equal(valueOf(secret.slice(-6)), crc32ByHand(`lyp_${'0'.repeat(43)}`))
  fc.assert(
    fc.property(anySecret, fc.nat(48), fc.constantFrom('0', 'a', 'Z', '9'), (right, place, char) => {
      const at = 4 + place
      const typed = right.slice(0, at) + char + right.slice(at + 1)
      assert.equal(isAccessToken(typed), typed === right)
      assert.ok(hasAccessTokenForm(typed), 'it is still meant to be one')
      if (typed === right) return
      const fault = faultOf(() => parseAccessToken(typed))
      assert.deepEqual(
        [fault.reason, fault.message],
        ['parameterInvalid', 'this access token is mistyped: a character was changed, so copy it again'],
      )
    }),
  )
})

test('the token of a person with the prefix of a robot is mistyped', () => {
  fc.assert(fc.property(anyBytes, (bytes) => assert.ok(!isAccessToken(makeAccessToken('person', () => bytes).replace('lyp_', 'lyr_')))))
})

const body = 'a'.repeat(49)
const others = [
  '',
  'lyp_',
  `lyp_${body}a`,
  `lyp_${body.slice(1)}`,
  `lyx_${body}`,
  `LYP_${body}`,
  ` lyp_${body}`,
  `lyp_${body}\n`,
  `lyp_${body.slice(1)}-`,
]

test('what has not the form is no access token, and is not repeated', () => {
  for (const text of others) {
    assert.ok(!hasAccessTokenForm(text) && !isAccessToken(text), text)
    const { message } = faultOf(() => parseAccessToken(text))
    assert.equal(message, 'this is not an access token: one is lyp_ or lyr_ with 49 letters and digits after it')
  }
  const beganMs = performance.now()
  for (const text of ['lyp_'.repeat(1_000_000), `lyp_${'a'.repeat(4_000_000)}`]) assert.ok(!hasAccessTokenForm(text))
  assert.ok(performance.now() - beganMs < 1000, 'a long text is looked at once')
})

test('what is kept of a secret is its SHA-256, and its last characters', () => {
  const secret = makeAccessToken('robot')
  assert.deepEqual(hashAccessToken(secret), createHash('sha256').update(secret).digest())
  assert.equal(hintOf(secret), secret.slice(-4))
})

function valueOf(base62: string): number {
  const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
  return base62.split('').reduce((sum, char) => sum * 62 + alphabet.indexOf(char), 0)
}

/** The textbook's, bit by bit. */
function crc32ByHand(text: string): number {
  let crc = 0xffffffff
  for (const byte of Buffer.from(text)) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  }
  return (crc ^ 0xffffffff) >>> 0
}

const scope = (actions: string, repositories: string) => ({ actions: actions.split(' '), repositories })

const patterns: readonly (readonly [pattern: string, fits: readonly string[], doesNot: readonly string[]])[] = [
  ['team/app', ['team/app'], ['team/app2', 'team/app/web', 'team', 'team2/app']],
  ['team/app*', ['team/app', 'team/app2', 'team/app/web', 'team/app-x'], ['team/ap', 'team/other', 'steam/app']],
  ['team/*', ['team/app', 'team/a/b'], ['team', 'team2/app', 'teams/app']],
  ['team*', ['team', 'team2/app', 'team/app'], ['tea', 'other/team']],
  ['*', ['team', 'a/b/c'], []],
]

for (const [pattern, fits, doesNot] of patterns) {
  test(`the pattern ${pattern} means what it says and no more`, () => {
    assert.deepEqual(parseTokenScopes([scope('pull', pattern)]), [scope('pull', pattern)])
    for (const name of fits) assert.ok(matchesPattern(pattern, repo(name)), name)
    for (const name of doesNot) assert.ok(!matchesPattern(pattern, repo(name)), name)
  })
}

test('the same pattern twice is one, and actions stand in one order', () => {
  assert.deepEqual(parseTokenScopes([scope('push pull', 'a/*'), scope('admin', '*'), scope('delete push', 'a/*')]), [
    scope('pull push delete', 'a/*'),
    scope('admin', '*'),
  ])
})

const wrong: readonly (readonly [title: string, scopes: readonly ReturnType<typeof scope>[], message: RegExp])[] = [
  ['nothing', [], /must be for something/],
  ['no action', [{ actions: [], repositories: '*' }], /some of pull, push, delete, admin/],
  ['an unknown action', [scope('fly', '*')], /some of pull, push, delete, admin/],
  ...[
    '',
    '**',
    'a*b',
    '*/app',
    'a/*/b',
    'A*',
    '/a',
    'a//',
    'a//*',
    '../*',
    'a b',
    'a?',
    'team/',
    `${'a'.repeat(256)}*`,
    '(a+)+$',
    'a\0*',
    '-*',
  ].map(
    (pattern) => [`the pattern ${JSON.stringify(pattern)}`, [scope('pull', pattern)], /a pattern is the name of a repository/] as const,
  ),
  ['too many', Array.from({ length: 33 }, (_, index) => scope('pull', `a/${index}`)), /at most 32 patterns/],
]

for (const [title, scopes, message] of wrong) {
  test(`scopes are refused: ${title.slice(0, 60)}`, () => {
    const fault = faultOf(() => parseTokenScopes(scopes))
    assert.equal(fault.reason, 'parameterInvalid')
    assert.match(fault.message, message)
  })
}

test('the registry as a whole is covered by * alone', () => {
  assert.ok(covers([{ actions: ['admin'], repositories: '*' }], 'admin'))
  for (const pattern of ['a*', 'team/*']) assert.ok(!covers([{ actions: ['admin'], repositories: pattern }], 'admin'))
  assert.ok(!covers([{ actions: ['pull'], repositories: '*' }], 'admin'))
  assert.ok(!covers([], 'pull', repo('a')))
})

test('the ranges of names are the names that are covered, in order and apart', () => {
  fc.assert(
    fc.property(fc.array(anyScope, { maxLength: 6 }), anyName, (scopes: TokenScope[], name) => {
      const ranges = coveredNames(scopes, 'pull')
      const isInside = ranges === undefined || ranges.some(({ from, before }) => from <= name && name < before)
      assert.equal(isInside, covers(scopes, 'pull', name))
      for (const [index, { from, before }] of (ranges ?? []).entries()) {
        assert.ok(from < before)
        assert.ok((ranges?.[index - 1]?.before ?? '') <= from, 'none overlaps the one before')
      }
    }),
    { numRuns: 500 },
  )
})

test('scopes that others include cover nothing beyond them', () => {
  fc.assert(
    fc.property(fc.array(anyScope, { maxLength: 4 }), fc.array(anyScope, { maxLength: 4 }), anyName, (wide, narrow, name) => {
      for (const action of ['pull', 'push', 'delete', 'admin'] as const)
        if (includesScopes(wide, narrow) && covers(narrow, action, name)) assert.ok(covers(wide, action, name))
      assert.ok(includesScopes([...wide, ...narrow], narrow), 'and each list includes its own parts')
    }),
    { numRuns: 2000 },
  )
})

const inclusions: readonly (readonly [wide: string, narrow: string, isIncluded: boolean])[] = [
  ['*', 'team/*', true],
  ['team/*', 'team/app', true],
  ['team/*', 'team/app*', true],
  ['team/app', 'team/app', true],
  ['team/*', '*', false],
  ['team/app', 'team/app*', false],
  ['team/app*', 'team/*', false],
  ['team/*', 'team', false],
  ['team/*', 'teams/*', false],
]
for (const [wide, narrow, isIncluded] of inclusions) {
  test(`scopes on ${wide} ${isIncluded ? 'include' : 'do not include'} those on ${narrow}`, () => {
    assert.equal(includesScopes(parseTokenScopes([scope('pull', wide)]), parseTokenScopes([scope('pull', narrow)])), isIncluded)
    assert.ok(!includesScopes(parseTokenScopes([scope('pull', wide)]), parseTokenScopes([scope('pull push', narrow)])), 'of another action')
  })
}

test('scopes are told in words, many of them by their number', () => {
  const told = (...scopes: ReturnType<typeof scope>[]) => describeTokenScopes(parseTokenScopes(scopes))
  assert.equal(told(scope('pull', 'team/app*')), 'pull on team/app*')
  assert.equal(told(scope('pull push', 'a'), scope('pull', 'b')), 'pull and push on a and pull on b')
  assert.equal(told(scope('pull push delete', '*')), 'pull, push and delete on *')
  const many = Array.from({ length: 5 }, (_, index) => scope('pull', `a/${index}`))
  assert.equal(told(...many), 'pull on a/0, pull on a/1, pull on a/2 and 2 more')
})
