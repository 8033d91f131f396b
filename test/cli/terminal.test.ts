/** Tables for people: columns aligned whatever stands in them, nothing hanging at the end of a line. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { formatTable } from '../../cli/terminal.ts'

test('columns are as wide as their widest cell', () => {
  const rows = [
    ['NAME', 'ROLE'],
    ['a-long-name', 'user'],
    ['b', ''],
  ]
  assert.equal(formatTable(rows), 'NAME         ROLE\na-long-name  user\nb\n')
  assert.equal(formatTable([['NAME', 'ROLE']]), 'NAME  ROLE\n')
  assert.equal(formatTable([]), '')
})

test('every cell of a column begins at the same place', () => {
  const cell = fc.stringMatching(/^[a-z0-9]{1,12}$/)
  fc.assert(
    fc.property(fc.array(fc.tuple(cell, cell, cell), { minLength: 1, maxLength: 20 }), (rows) => {
      const lines = formatTable(rows).split('\n').slice(0, -1)
      assert.equal(lines.length, rows.length)
      const starts = lines.map((line) => [...line.matchAll(/\S+/g)].map((match) => match.index))
      for (const start of starts) assert.deepEqual(start, starts[0])
      assert.deepEqual(
        lines.map((line) => line.split(/ +/)),
        rows,
      )
    }),
  )
})
