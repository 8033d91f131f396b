/** "Did you mean": a slip of the hand finds its word, anything else finds none. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { nearest, suggestion } from '../../server/config/suggest.ts'

const names = ['listen', 'log.level', 'log.format', 'data', 'workers', 'tls.key', 'tls.certificate']

for (const [typed, meant] of [
  ['lisen', 'listen'],
  ['listenn', 'listen'],
  ['LISTEN', 'listen'],
  ['lgo.level', 'log.level'],
  ['worker', 'workers'],
  ['dta', 'data'],
  ['tls.cert', 'tls.certificate'],
  ['tls', undefined],
  ['work', 'workers'],
  ['xyz', undefined],
  ['', undefined],
] as const) {
  test(`"${typed}" was meant to be ${meant ?? 'none of the known names'}`, () => {
    assert.equal(nearest(typed, names), meant)
    assert.equal(suggestion(typed, names), meant === undefined ? '' : `, did you mean "${meant}"?`)
  })
}

test('what all names begin with does not make two of them near', () => {
  const variables = ['LANYARD_DATA', 'LANYARD_LISTEN']
  assert.equal(suggestion('LANYARD_PORT', variables, 'LANYARD_'), '')
  assert.equal(suggestion('LANYARD_LISEN', variables, 'LANYARD_'), ', did you mean "LANYARD_LISTEN"?')
})

test('a known name is nearest to itself, also with one letter lost, whatever else is known', () => {
  const name = fc.stringMatching(/^[a-z.]{6,20}$/)
  fc.assert(
    fc.property(name, fc.array(name), fc.nat(), (typed, others, at) => {
      assert.equal(nearest(typed, [...others, typed]), typed)
      const lost = typed.slice(0, at % typed.length) + typed.slice((at % typed.length) + 1)
      assert.notEqual(nearest(lost, [...others, typed]), undefined)
    }),
  )
})
