/**
 * kill -9 under load, in a bounded form: every named point once and some random moments. `npm run campaign` is the whole of it.
 *
 * And the proof that it can fail: registries that break one promise each, of which the campaign must complain.
 */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { runCampaign, type CampaignOptions } from './campaign.ts'
import { killPoints } from './kill-points.ts'
import { randomName } from './lane.ts'
import type { Violation } from './report.ts'
import type { Sabotage } from './sabotage.ts'

const randomKills = 20

test('kill -9 at every named point and at random moments loses nothing, serves nothing wrong and heals by itself', async () => {
  const report = await runCampaign({ seed: 20_261, each: 1, random: randomKills })
  assert.deepEqual(report.violations, [])
  const kills = Object.fromEntries(report.rows.map(({ name, kills }) => [name, kills]))
  assert.deepEqual(kills, { ...Object.fromEntries(killPoints.map(({ name }) => [name, 1])), [randomName]: randomKills })
  assert.ok(
    report.rows.every(({ checked }) => checked > 0),
    'after every kill something acknowledged was looked at',
  )
  assert.ok(report.clientAborts > 0, 'uploads were broken off and resumed')
  assert.equal(report.leftovers.after, 0)
})

interface SelfCheck extends Partial<CampaignOptions> {
  readonly point: string
  readonly finds: Violation
  readonly says: RegExp
}

const selfChecks: Record<Sabotage, SelfCheck> = {
  answersFirst: { point: 'tag delete: before the commit', target: 'self', finds: 'lost', says: /^lost .*tag / },
  namesLate: { point: 'blob: committed, before the log is synced', target: 'self', finds: 'dangling', says: /no bytes on disk/ },
  losesLog: { point: 'manifest: log synced, before the answer', target: 'group', finds: 'lost', says: /^lost / },
  flipsBits: { point: 'blob: after the answer', target: 'self', finds: 'wrong', says: /the bytes have another digest/ },
  keepsClaims: {
    point: 'PATCH: bytes written, before the offset is committed',
    target: 'self',
    patienceMs: 5_000,
    finds: 'notHealed',
    says: /still 416 .*another request is writing/,
  },
}

suite('the campaign complains of a registry', () => {
  for (const [sabotage, { point, finds, says, ...options }] of Object.entries(selfChecks)) {
    test(`that ${sabotage}`, async () => {
      const points = killPoints.filter(({ name }) => name === point)
      assert.equal(points.length, 1, 'the point exists')
      const report = await runCampaign({
        seed: 7,
        each: 4,
        random: 0,
        lanes: 1,
        points,
        sabotage: sabotage as Sabotage,
        ...options,
      })
      const [row] = report.rows
      assert.ok((row?.violations[finds] ?? 0) > 0, `${finds} is counted: ${report.violations.join('\n')}`)
      assert.ok(
        report.violations.some((violation) => says.test(violation)),
        report.violations.join('\n'),
      )
    })
  }
})
