/**
 * Grouping a CPU profile by the part that the time was spent in.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { test } from 'node:test'
import { groupByPart, type CpuProfile } from '../../bench/profile.ts'

const root = join(import.meta.dirname, '../..')
const urlOf = (path: string): string => pathToFileURL(join(root, path)).href

interface Node {
  readonly functionName?: string
  readonly url?: string
  readonly children?: readonly number[]
}

/** Node `n` of the list has the id n + 1; each sample is a node's id and the microseconds before it. */
function profileOf(nodes: readonly Node[], samples: readonly (readonly [id: number, microseconds: number])[], startTime = 0): CpuProfile {
  return {
    startTime,
    nodes: nodes.map(({ functionName = 'work', url = '', children }, index) => ({
      id: index + 1,
      callFrame: { functionName, url },
      ...(children ? { children } : {}),
    })),
    samples: samples.map(([id]) => id),
    timeDeltas: samples.map(([, microseconds]) => microseconds),
  }
}

const parts: readonly (readonly [url: string, part: string])[] = [
  [urlOf('server/http/reply.ts'), 'server/http/reply.ts'],
  [urlOf('node_modules/koa/lib/application.js'), 'koa'],
  [pathToFileURL('/elsewhere/node_modules/@koa/router/dist/index.mjs').href, '@koa/router'],
  ['node:_http_server', 'node: http'],
  ['node:internal/http', 'node: http'],
  ['node:net', 'node: streams and sockets'],
  ['node:internal/streams/writable', 'node: streams and sockets'],
  ['node:internal/process/task_queues', 'node: timers and promises'],
  ['node:fs', 'node: fs'],
  ['node:internal/crypto/hash', 'node: crypto'],
  ['node:internal/util', 'node: other'],
]

for (const [url, part] of parts) {
  test(`time in ${url.replace(pathToFileURL(root).href, '.')} is that of "${part}"`, () => {
    assert.deepEqual(groupByPart(profileOf([{ url }], [[1, 7]])), new Map([[part, 7]]))
  })
}

test('a native function is shown by its name under the part that called it, whatever native code is between', () => {
  const nodes: Node[] = [
    { url: urlOf('storage/blobs/durable.ts'), children: [2] },
    { functionName: 'call', children: [3] },
    { functionName: 'fsync' },
    { functionName: 'alone' },
  ]
  const samples = [
    [2, 1],
    [3, 10],
    [4, 100],
  ] as const
  assert.deepEqual(
    groupByPart(profileOf(nodes, samples)),
    new Map([
      ['storage/blobs/durable.ts: call (native)', 1],
      ['storage/blobs/durable.ts: fsync (native)', 10],
      ['native code', 100],
    ]),
  )
})

test('idle time counts nowhere, collecting garbage and what is outside JavaScript count for themselves', () => {
  const nodes: Node[] = [
    { functionName: '(root)', children: [2, 3, 4] },
    { functionName: '(idle)' },
    { functionName: '(garbage collector)' },
    { functionName: '(program)' },
  ]
  const samples = [
    [1, 1],
    [2, 10],
    [3, 100],
    [4, 1000],
  ] as const
  assert.deepEqual(
    groupByPart(profileOf(nodes, samples)),
    new Map([
      ['garbage collector', 100],
      ['outside JavaScript (kernel, event loop, HTTP parser)', 1000],
    ]),
  )
})

test('only samples within the time asked for count, and times of the same part are added up', () => {
  const url = urlOf('server/app.ts')
  const profile = profileOf(
    [{ url }, { url, functionName: 'other' }],
    [
      [1, 10],
      [2, 10],
      [1, 10],
      [2, 10],
    ],
    1000,
  )
  assert.deepEqual(groupByPart(profile), new Map([['server/app.ts', 40]]))
  assert.deepEqual(groupByPart(profile, { from: 1015, to: 1035 }), new Map([['server/app.ts', 20]]))
  assert.deepEqual(groupByPart(profile, { from: 2000, to: 3000 }), new Map())
})
