/**
 * `npm test`: runs every test file with Node's own runner and fails when it found none (the runner itself would pass).
 * Arguments narrow it to files whose path contains one of them: `npm test -- blobs`.
 */
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const wanted = process.argv.slice(2)
const all = globSync('test/**/*.test.ts', { cwd: root }).toSorted()
const files = wanted.length === 0 ? all : all.filter((file) => wanted.some((part) => file.includes(part)))
if (files.length === 0) {
  process.stderr.write(`no test file matches ${wanted.join(', ')}\n`)
  process.exit(1)
}
// Ended when the last test is: what a spawned program's pipes leave open must not hold the result back.
const { status } = spawnSync(process.execPath, ['--test', '--test-isolation=none', '--test-force-exit', ...files], {
  cwd: root,
  stdio: 'inherit',
})
process.exit(status ?? 1)
