/** The running hashes of a process: each taken once, and the oldest forgotten when there are many. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { LiveHashes, newLiveHash } from '../../registry/live-hashes.ts'

suite('live hashes', () => {
  test('a hash is found once, under its session', () => {
    const hashes = new LiveHashes()
    const live = newLiveHash('sha256')
    hashes.put('a', live)
    assert.equal(hashes.take('b'), undefined)
    assert.equal(hashes.take('a'), live)
    assert.equal(hashes.take('a'), undefined)
  })

  test('a new one has seen nothing', () => {
    for (const algorithm of ['sha256', 'sha512'] as const) {
      const live = newLiveHash(algorithm)
      assert.deepEqual([live.algorithm, live.bytes], [algorithm, 0])
      assert.equal(live.hash.copy().digest('hex').length, algorithm === 'sha256' ? 64 : 128)
    }
  })

  test('when there are more than a process keeps, the one that was put in first goes', () => {
    const hashes = new LiveHashes()
    const keep = 1024
    for (let count = 0; count < keep + 3; count++) hashes.put(`${count}`, newLiveHash('sha256'))
    for (const id of ['0', '1', '2']) assert.equal(hashes.take(id), undefined)
    for (let count = 3; count < keep + 3; count++) assert.ok(hashes.take(`${count}`), `${count} is still there`)
  })

  test('one that is put in again counts as the newest', () => {
    const hashes = new LiveHashes()
    hashes.put('in use', newLiveHash('sha256'))
    for (let count = 0; count < 3000; count++) {
      const live = hashes.take('in use')
      assert.ok(live, 'it was never forgotten')
      hashes.put('in use', live)
      hashes.put(`${count}`, newLiveHash('sha256'))
    }
  })
})
