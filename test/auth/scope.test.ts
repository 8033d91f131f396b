/**
 * Scopes as clients send them (protocol checklist 12.2), and what covers what.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { covers, formatScope, formatScopes, parseScopes } from '../../auth/scope.ts'

const table: readonly (readonly [string, readonly string[], string])[] = [
  ['one scope', ['repository:a/b:pull'], 'repository:a/b:pull'],
  ['no scope, as docker login', [], ''],
  ['an empty scope', [''], ''],
  ['several parameters', ['repository:a:pull', 'repository:b:push'], 'repository:a:pull repository:b:push'],
  ['one parameter with spaces, as the conformance suite', ['repository:a:pull  repository:b:push '], 'repository:a:pull repository:b:push'],
  [
    'duplicates and overlaps, as containerd',
    ['repository:a/b:pull repository:a/b:pull,push', 'repository:c/d:pull'],
    'repository:a/b:pull,push repository:c/d:pull',
  ],
  ['actions in any order', ['repository:a:push,delete,pull'], 'repository:a:pull,push,delete'],
  ['everything, as skopeo delete', ['repository:a:*'], 'repository:a:*'],
  ['everything and something', ['repository:a:pull,*', 'repository:a:push'], 'repository:a:*'],
  ['a class', ['repository(plugin):a/b:pull'], 'repository:a/b:pull'],
  ['a name that holds host and port', ['repository:localhost:5000/a:pull'], 'repository:localhost:5000/a:pull'],
  ['the catalog', ['registry:catalog:*'], 'registry:catalog:*'],
  ['an unknown action among known ones', ['repository:a:pull,fly,,PUSH'], 'repository:a:pull'],
  ['only unknown actions', ['repository:a:fly', 'repository:a:', 'registry:catalog:pull'], ''],
  ['an unknown type', ['artifact:a:pull', 'Repository:a:pull', ':a:pull', '__proto__:a:pull', 'repository(x:a:pull'], ''],
  ['too few parts', ['repository', 'repository:a', 'repository::pull', ':', '::', 'a b c'], ''],
  ['text that must not be reflected', ['repository:a"b:pull', 'repository:a\\:pull', 'repository:a\r\nb:pull', 'repository:ä:pull'], ''],
]

for (const [title, values, expected] of table) {
  test(`parses ${title}`, () => assert.equal(formatScopes(parseScopes(values)), expected))
}

test('looks at no more than a hundred scopes, however they come', () => {
  const many = Array.from({ length: 5000 }, (_, index) => `repository:a${index}:pull`)
  assert.equal(parseScopes(many).length, 100)
  assert.equal(parseScopes([many.join(' ')]).length, 100)
  assert.equal(parseScopes(['x '.repeat(1_000_000), 'repository:a:pull']).length, 0)
})

test('leaves out a scope of more than 512 characters', () => {
  assert.deepEqual(parseScopes([`repository:${'a'.repeat(500)}:pull`]), [])
  assert.deepEqual(parseScopes([`repository:a:${'pull,'.repeat(200_000)}pull`]), [])
})

const anyScopeText = fc.oneof(
  fc.string(),
  fc
    .tuple(
      fc.constantFrom('repository', 'registry', 'repository(plugin)', 'x'),
      fc.constantFrom('a', 'a/b', 'catalog', 'h:5000/a', ''),
      fc.array(fc.constantFrom('pull', 'push', 'delete', '*', 'x')),
    )
    .map(([type, name, actions]) => `${type}:${name}:${actions.join(',')}`),
)

test('what was parsed survives formatting and parsing, and no resource is named twice', () => {
  fc.assert(
    fc.property(fc.array(anyScopeText), (values) => {
      const access = parseScopes(values)
      assert.deepEqual(parseScopes([formatScopes(access)]), access)
      assert.equal(new Set(access.map(({ type, name }) => `${type}:${name}`)).size, access.length)
      assert.match(formatScopes(access), /^[A-Za-z0-9._:/,* -]*$/)
    }),
  )
})

test('the order in which scopes come does not change what is covered', () => {
  fc.assert(
    fc.property(fc.array(anyScopeText, { maxLength: 20 }), (values) => {
      const forward = parseScopes(values).map(formatScope).toSorted()
      assert.deepEqual(parseScopes(values.toReversed()).map(formatScope).toSorted(), forward)
    }),
  )
})

test('access covers what it names and nothing else', () => {
  const access = parseScopes(['repository:a/b:pull,push', 'repository:c:*'])
  const covered = ['repository:a/b:pull', 'repository:a/b:push,pull', 'repository:c:delete', 'repository:c:*']
  const uncovered = [
    'repository:a/b:delete',
    'repository:a/b:pull,delete',
    'repository:a/b:*',
    'repository:a:pull',
    'repository:a/b/c:pull',
    'registry:catalog:*',
  ]
  for (const text of covered)
    assert.ok(
      parseScopes([text]).every((wanted) => covers(access, wanted)),
      text,
    )
  for (const text of uncovered) assert.ok(!parseScopes([text]).some((wanted) => covers(access, wanted)), text)
  assert.ok(covers(access, { type: 'repository', name: 'a/b', action: 'pull' }))
  assert.ok(!covers(access, { type: 'registry', name: 'a/b', action: 'pull' }))
  assert.ok(!covers([], { type: 'repository', name: 'a/b', action: 'pull' }))
})

test('wanting nothing is not covered by anything', () => {
  assert.ok(!covers(parseScopes(['repository:a:*']), { type: 'repository', name: 'a', actions: [] }))
})

test('access covers each of its own parts', () => {
  fc.assert(
    fc.property(fc.array(anyScopeText), (values) => {
      const access = parseScopes(values)
      for (const entry of access) assert.ok(covers(access, entry))
    }),
  )
})
