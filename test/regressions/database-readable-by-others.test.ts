/**
 * lanyard.db was made with the mode that the shell's umask left, readable by every user of the machine when the data folder had
 * been made by hand. It holds password hashes.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, globSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

const program = join(import.meta.dirname, '../../cli/lanyard.js')

test('in a folder that others may enter, what a command makes is readable by its user alone', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'lanyard-test-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  chmodSync(folder, 0o755)
  const command = [process.execPath, program, 'user', 'add', 'alice', '--admin', '--password-stdin']
  const { status, stderr } = spawnSync('/bin/sh', ['-c', 'umask 022 && exec "$0" "$@"', ...command], {
    env: { LANYARD_DATA: folder, LANYARD_AUTH_BCRYPT_COST: '4' },
    input: 'correct horse battery',
    encoding: 'utf8',
  })
  assert.equal(status, 0, stderr)
  const made = globSync('**', { cwd: folder }).filter((name) => name !== '.' && name !== '')
  assert.ok(made.includes('lanyard.db'))
  const open = made.filter((name) => (statSync(join(folder, name)).mode & 0o077) !== 0)
  assert.deepEqual(open, [])
})
