/**
 * Reading what load programs print.
 */
import assert from 'node:assert/strict'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseAb, parseWrk, requireTools } from '../../bench/load-tools.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

function wrkOutput({ p50 = '850.00us', p99 = '1.02s', after = '' } = {}): string {
  return `Running 5s test @ http://127.0.0.1:5000/v2/a/manifests/b
  2 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     3.06ms    3.52ms  41.76ms   87.63%
    Req/Sec     7.22k     1.03k    9.11k    68.00%
  Latency Distribution
     50%    ${p50}
     75%    4.11ms
     90%    7.92ms
     99%    ${p99}
  71893 requests in 5.01s, 98.21MB read
${after}Requests/sec:  14351.04
Transfer/sec:     19.60MB
`
}

test('wrk: requests, their rate and two percentiles in milliseconds', () => {
  assert.deepEqual(parseWrk(wrkOutput()), { requests: 71_893, requestsPerSecond: 14_351.04, p50Ms: 0.85, p99Ms: 1020 })
  assert.deepEqual(parseWrk(wrkOutput({ p50: '3.50ms', p99: '1.50m' })), {
    requests: 71_893,
    requestsPerSecond: 14_351.04,
    p50Ms: 3.5,
    p99Ms: 90_000,
  })
})

const wrkFaults: readonly (readonly [output: string, message: RegExp])[] = [
  ['  Non-2xx or 3xx responses: 17\n', /17 requests were answered with an error/],
  ['  Socket errors: connect 1, read 2, write 3, timeout 0\n', /6 connections broke/],
]

for (const [after, message] of wrkFaults) {
  test(`wrk: ${message.source.replace(/^\d+ /, '')} is a fault, whatever the rate`, () => {
    assert.throws(() => parseWrk(wrkOutput({ after })), message)
  })
}

test('wrk: answers that were late, but came, are no fault', () => {
  const load = parseWrk(wrkOutput({ after: '  Socket errors: connect 0, read 0, write 0, timeout 9\n' }))
  assert.equal(load.requests, 71_893)
})

const abOutput = `Concurrency Level:      32
Time taken for tests:   5.000 seconds
Complete requests:      49802
Failed requests:        0
Keep-Alive requests:    49802
Requests per second:    9960.31 [#/sec] (mean)

Percentage of the requests served within a certain time (ms)
  50%      3
  99%     12
`
const abPercentiles = 'Percentage served,Time in ms\n0,0.512\n50,2.875\n99,12.250\n100,40.000\n'

test('ab: requests, their rate and two percentiles with decimals', () => {
  assert.deepEqual(parseAb(abOutput, abPercentiles), { requests: 49_802, requestsPerSecond: 9960.31, p50Ms: 2.875, p99Ms: 12.25 })
})

test('ab: answers that are no success, and requests that failed, are a fault', () => {
  assert.throws(
    () => parseAb(abOutput.replace('Failed requests:        0', 'Failed requests:        4'), abPercentiles),
    /4 requests failed/,
  )
  assert.throws(() => parseAb(`${abOutput}Non-2xx responses:      5\n`, abPercentiles), /5 requests failed/)
})

test('output that is something else is a fault that shows it', () => {
  assert.throws(() => parseWrk('unable to connect to 127.0.0.1'), /something else than expected: unable to connect/)
  assert.throws(() => parseAb('apr_socket_recv: Connection refused', ''), /something else than expected: apr_socket_recv/)
})

test('a program is there when a folder of the PATH has it and it may be run', (t) => {
  const folder = temporaryFolder(t)
  const program = join(folder, 'wrk')
  writeFileSync(program, '')
  assert.throws(() => requireTools(['wrk', 'curl', 'wrk'], folder), /^Error: wrk, curl not found: on Debian, apt-get install wrk curl; /)
  chmodSync(program, 0o755)
  assert.throws(() => requireTools(['wrk', 'curl'], `/nowhere:${folder}`), /^Error: curl not found/)
  requireTools(['wrk'], `/nowhere:${folder}`)
})
