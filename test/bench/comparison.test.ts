/**
 * The comparison from its command line: its smallest form beside a second copy of the registry and the floor, and how it ends when
 * something is wrong.
 */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Comparison } from '../../bench/comparison.ts'
import { eventually } from '../support/eventually.ts'
import { isRunning, ownScriptNotingPid, peerScript, startBench } from '../support/run-bench.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

test('every row names its figures for each target that offers the work, and its ratio to each other target', async (t) => {
  const pidFile = join(temporaryFolder(t), 'pid')
  const peer = peerScript(t, ownScriptNotingPid(pidFile))
  const run = startBench(t, ['--peer', `again=${peer}`, '--floor', '--only', 'small-uploads,small-uploads-16-login,tags-page'])
  const { status, stdout, stderr, result } = await run.ended
  assert.equal(status, 0, stderr)
  const { kind, targets, rows, machine, amounts } = result as Comparison & { kind: string }
  assert.deepEqual([kind, targets], ['comparison', ['lanyard', 'again', 'floor']])
  assert.equal(amounts.runs, 1)
  assert.ok(machine.cores > 0 && machine.sha256MibPerSecond > 0 && machine.diskMibPerSecond > 0)
  assert.deepEqual(
    rows.map((row) => [row.id, Object.keys(row.figures), Object.keys(row.ratios)]),
    [
      ['small-uploads', ['lanyard', 'again', 'floor'], ['again', 'floor']],
      ['small-uploads-16-login', ['lanyard', 'again'], ['again']],
      ['tags-page', ['lanyard', 'again'], ['again']],
    ],
  )
  for (const { figures, ratios } of rows) {
    for (const { value, cpuSecondsPerOperation, peakRssMib } of Object.values(figures)) {
      assert.ok(value.median > 0 && value.min <= value.median && value.median <= value.max)
      assert.ok(cpuSecondsPerOperation.median >= 0 && peakRssMib.median > 10)
    }
    const [own, again] = [figures['lanyard']?.value.median ?? 0, figures['again']?.value.median ?? 0]
    assert.equal(ratios['again']?.median, own / again)
  }
  assert.match(stdout, /^\| Work +\| Unit +\| lanyard +\| again +\| floor +\| lanyard ÷ again +\| lanyard ÷ floor +\|$/m)
  assert.match(stdout, /^\| upload of 10 KiB: POST, PUT, one by one +\| uploads\/s ↑ +\| [\d.,]+ \([\d.,]+–[\d.,]+\) +\|/m)
  await eventually(() => !isRunning(Number(readFileSync(pidFile, 'utf8'))), 'the end of the peer')
  assert.deepEqual(readdirSync(run.folder), [])
})

test('a peer that cannot start stops the bench with the end of its log and ends what was started before', async (t) => {
  const pidFile = join(temporaryFolder(t), 'pid')
  const healthy = peerScript(t, ownScriptNotingPid(pidFile))
  const broken = peerScript(t, ['for i in $(seq 30); do echo "line $i"; done', 'echo "cannot open the disk" >&2', 'exit 3'])
  const run = startBench(t, ['--peer', `healthy=${healthy}`, '--peer', `broken=${broken}`, '--only', 'tag-put'])
  const { status, stdout, stderr, result } = await run.ended
  assert.deepEqual([status, stdout, result], [1, '', undefined])
  assert.match(stderr, /broken \(.*peer\.sh\): the script ended with 3 before the server answered/)
  assert.match(stderr, /the end of its log:\n {4}line 12\n(?: {4}line \d+\n)+ {4}cannot open the disk\n$/)
  await eventually(() => !isRunning(Number(readFileSync(pidFile, 'utf8'))), 'the end of the healthy peer')
  assert.deepEqual(readdirSync(run.folder), [])
})

test('a peer that answers wrongly stops the bench, which says what it answered', async (t) => {
  const answers = `require('node:http').createServer((req, res) => res.writeHead(req.url === '/v2/' ? 200 : 507).end('full')).listen(process.env.PORT, '127.0.0.1')`
  const wrong = peerScript(t, [`exec '${process.execPath}' -e "${answers}"`])
  const { status, stderr } = await startBench(t, ['--peer', `wrong=${wrong}`, '--only', 'tag-put']).ended
  assert.equal(status, 1)
  assert.match(
    stderr,
    /wrong \(.*\): POST \/v2\/bench\/tagged\/blobs\/uploads\/ answered 507 instead of 202: full\n {2}it wrote nothing to its log/,
  )
})

test('a peer whose script is not there stops the bench', async (t) => {
  const { status, stderr } = await startBench(t, ['--peer', 'absent=/nowhere/serve.sh', '--only', 'tag-put']).ended
  assert.equal(status, 1)
  assert.match(stderr, /absent \(\/nowhere\/serve\.sh\): .*ENOENT/)
})

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`${signal} ends every server that was started, leaves no file and says nothing but that`, async (t) => {
    const pidFile = join(temporaryFolder(t), 'pid')
    const peer = peerScript(t, ownScriptNotingPid(pidFile))
    const run = startBench(t, ['--peer', `again=${peer}`, '--only', 'tag-put', '--seconds', '60'])
    await eventually(() => existsSync(pidFile) && isRunning(Number(readFileSync(pidFile, 'utf8'))), 'the start of the peer')
    run.process.kill(signal)
    const { status, stdout, stderr } = await run.ended
    assert.deepEqual([status, stdout], [130, ''])
    assert.match(stderr, /^\nbench: stopping\n$/)
    await eventually(() => !isRunning(Number(readFileSync(pidFile, 'utf8'))), 'the end of the peer')
    assert.deepEqual(readdirSync(run.folder), [])
  })
}

const refused: readonly (readonly [args: string, sentence: RegExp])[] = [
  ['--only tag-put,nothing', /there is no row nothing; there are reads, transfers, writes, lists, starts, manifest-by-tag,/],
  ['--peer nameonly', /expected NAME=SCRIPT/],
  ['--peer lanyard=/some/script', /there is a target "lanyard" already/],
  ['--runs 0', /expected a whole number, at least 1/],
  ['--report /nowhere.json', /^bench: .*no such file or directory, open '\/nowhere\.json'\n$/],
]

for (const [args, sentence] of refused) {
  test(`"${args}" is refused before anything is started`, async (t) => {
    const { status, stdout, stderr } = await startBench(t, args.split(' ')).ended
    assert.deepEqual([status, stdout], [1, ''])
    assert.match(stderr, sentence)
  })
}

test('a load program that is missing is named with its package before anything is started', async (t) => {
  const { status, stdout, stderr } = await startBench(t, ['--only', 'reads,big-blob'], { PATH: temporaryFolder(t) }).ended
  assert.deepEqual([status, stdout], [1, ''])
  assert.match(
    stderr,
    /^bench: wrk, ab, curl, sync not found: on Debian, apt-get install wrk apache2-utils curl coreutils; or leave the rows/,
  )
})
