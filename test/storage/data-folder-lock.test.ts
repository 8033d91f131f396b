/** One server per data folder: held by one process, free at its death however it dies, and one sentence for every folder that cannot be used. */
import assert from 'node:assert/strict'
import fs, { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import { DataFolderError, DataFolderLock, readHolder } from '../../storage/data-folder-lock.ts'
import { dataLayout, type DataLayout } from '../../storage/layout.ts'
import { startChild } from '../support/child.ts'
import { emptyDataFolder } from '../support/data-folder.ts'

function refusal(layout: DataLayout): DataFolderError {
  try {
    DataFolderLock.acquire(layout, 'here').release()
  } catch (error) {
    assert.ok(error instanceof DataFolderError, String(error))
    return error
  }
  return assert.fail('the folder could be locked')
}

async function heldByChild(t: TestContext, layout: DataLayout) {
  const child = startChild(t, new URL('lock-holder-child.ts', import.meta.url), layout.root, '0.0.0.0:5000')
  assert.equal(await child.nextLine(), 'held')
  return child
}

suite('holding a data folder', () => {
  test('a folder that is missing is made, for its owner only', (t) => {
    const layout = dataLayout(join(emptyDataFolder(t).root, 'not', 'there', 'yet'))
    const lock = DataFolderLock.acquire(layout, 'here')
    assert.equal(statSync(layout.root).mode & 0o777, 0o700)
    lock.release()
  })

  test('who holds it stands beside the lock while it is held', (t) => {
    const layout = emptyDataFolder(t)
    assert.equal(readHolder(layout), undefined)
    const before = Date.now()
    const lock = DataFolderLock.acquire(layout, '127.0.0.1:5000')
    const holder = readHolder(layout)
    assert.deepEqual({ ...holder, since: '' }, { pid: process.pid, host: hostname(), listen: '127.0.0.1:5000', since: '' })
    assert.ok(Date.parse(holder?.since ?? '') >= before)
    assert.equal(statSync(layout.holder).mode & 0o777, 0o600)
    lock.release()
    assert.equal(readHolder(layout), undefined)
    assert.deepEqual(readdirSync(layout.root), ['lock.db'])
  })

  test('a second lock is refused while the first is held, and not afterwards', (t) => {
    const layout = emptyDataFolder(t)
    const first = DataFolderLock.acquire(layout, 'here')
    refusal(layout)
    refusal(layout)
    assert.equal(readHolder(layout)?.pid, process.pid, 'the refused one left the holder alone')
    first.release()
    DataFolderLock.acquire(layout, 'here').release()
  })

  test('another process is refused, and told by whom the folder is held', async (t) => {
    const layout = emptyDataFolder(t)
    const child = await heldByChild(t, layout)
    const { message } = refusal(layout)
    assert.ok(message.startsWith(`the data folder ${layout.root} is in use by process ${child.process.pid} on ${hostname()}, `), message)
    assert.match(
      message,
      /, listening on 0\.0\.0\.0:5000 since \d{4}-\d\d-\d\dT[\d:.]+Z: stop it first, or start this one with another LANYARD_DATA$/,
    )
  })

  test('a holder that did not write who it is, or wrote nonsense, holds the folder all the same', async (t) => {
    const layout = emptyDataFolder(t)
    await heldByChild(t, layout)
    for (const content of ['', '{"pid": ', 'nonsense']) {
      writeFileSync(layout.holder, content)
      assert.match(refusal(layout).message, /is in use by another Lanyard process: stop it first/)
    }
    rmSync(layout.holder)
    assert.match(refusal(layout).message, /is in use by another Lanyard process: stop it first/)
  })

  test('a holder that lets go frees the folder', async (t) => {
    const layout = emptyDataFolder(t)
    const child = await heldByChild(t, layout)
    child.process.stdin?.write('release\n')
    assert.equal(await child.nextLine(), 'released')
    DataFolderLock.acquire(layout, 'here').release()
  })

  test('a holder that is killed frees the folder at once, and what it wrote of itself misleads nobody', async (t) => {
    const layout = emptyDataFolder(t)
    const child = await heldByChild(t, layout)
    await child.kill()
    assert.equal(readHolder(layout)?.pid, child.process.pid, 'it had no time to clean up')
    const lock = DataFolderLock.acquire(layout, 'here')
    assert.equal(readHolder(layout)?.pid, process.pid)
    lock.release()
  })

  test('holding a folder writes nothing into its lock file', (t) => {
    const layout = emptyDataFolder(t)
    const lock = DataFolderLock.acquire(layout, 'here')
    assert.equal(readFileSync(layout.lock).length, 0)
    lock.release()
    assert.equal(readFileSync(layout.lock).length, 0)
  })
})

/** Runs `work` with the rights of someone who owns nothing here: needed when the tests run as root, who may do everything. */
function unprivileged<T>(work: () => T): T {
  if (process.geteuid?.() !== 0) return work()
  process.seteuid?.(65534)
  try {
    return work()
  } finally {
    process.seteuid?.(0)
  }
}

/** What is said of a folder; the sentence names it first. */
function complaint(layout: DataLayout): string {
  const { message, cause } = unprivileged(() => refusal(layout))
  const begin = `the data folder ${layout.root} cannot be used: `
  assert.ok(message.startsWith(begin), message)
  assert.ok(cause instanceof Error, 'the cause is kept')
  assert.equal(message.split('\n').length, 1)
  return message.slice(begin.length)
}

suite('folders that cannot be used', () => {
  test('a file in its place', (t) => {
    const layout = dataLayout(join(emptyDataFolder(t).root, 'file'))
    writeFileSync(layout.root, '')
    chmodSync(join(layout.root, '..'), 0o755)
    assert.equal(complaint(layout), 'a file stands where the folder should be')
  })

  test('a file on the way to it', (t) => {
    const { root } = emptyDataFolder(t)
    writeFileSync(join(root, 'file'), '')
    chmodSync(root, 0o755)
    assert.equal(complaint(dataLayout(join(root, 'file', 'data'))), 'a part of the path is a file')
  })

  test('one that may not be made', (t) => {
    const { root } = emptyDataFolder(t)
    chmodSync(root, 0o555)
    assert.equal(complaint(dataLayout(join(root, 'data'))), 'this user may not write there: change its owner or its permissions')
  })

  test('one that may not be written to', (t) => {
    const layout = emptyDataFolder(t)
    chmodSync(layout.root, 0o555)
    assert.match(complaint(layout), /^this user may not (?:write there|open its lock\.db): change its owner or its permissions$/)
  })

  test('one that may not be looked into', (t) => {
    const layout = emptyDataFolder(t)
    chmodSync(layout.root, 0o000)
    assert.match(complaint(layout), /^this user may not (?:write there|open its lock\.db): change its owner or its permissions$/)
    chmodSync(layout.root, 0o700)
  })

  test('a lock file that may only be read locks nothing, so it is refused', (t) => {
    const layout = emptyDataFolder(t)
    chmodSync(layout.root, 0o777)
    writeFileSync(layout.lock, '')
    chmodSync(layout.lock, 0o444)
    assert.equal(complaint(layout), 'this user may not write to its lock.db: change its owner or its permissions')
    assert.ok(!existsSync(layout.holder), 'nobody claims to hold it')
  })

  test('a lock file that is none of ours', (t) => {
    const layout = emptyDataFolder(t)
    chmodSync(layout.root, 0o777)
    writeFileSync(layout.lock, 'someone wrote a text here. '.repeat(100))
    chmodSync(layout.lock, 0o666)
    assert.equal(complaint(layout), 'its lock.db is not a lock file of Lanyard: is it really a Lanyard folder?')
  })

  test('a folder where the lock file should be', (t) => {
    const layout = emptyDataFolder(t)
    chmodSync(layout.root, 0o777)
    mkdirSync(layout.lock)
    assert.equal(complaint(layout), 'this user may not open its lock.db: change its owner or its permissions')
  })
})

/** What only a mount of its own would bring about: the system's answers to the first thing that is asked of the folder. */
suite('file systems that refuse', () => {
  function answering(t: TestContext, call: 'mkdirSync' | 'accessSync' | 'writeFileSync', code: string): void {
    t.mock.method(fs, call, () => {
      throw Object.assign(new Error(code), { code })
    })
    syncBuiltinESMExports()
    t.after(() => {
      t.mock.restoreAll()
      syncBuiltinESMExports()
    })
  }

  for (const [code, advice] of [
    ['EROFS', 'its file system is read-only: mount it writable'],
    ['ENOSPC', 'the disk is full: free some space'],
    ['EPERM', 'this user may not write there: change its owner or its permissions'],
    ['EOWNERDEAD', 'EOWNERDEAD'],
  ] as const) {
    test(`${code} when the folder is made`, (t) => {
      const layout = emptyDataFolder(t)
      answering(t, 'mkdirSync', code)
      assert.equal(refusal(layout).message, `the data folder ${layout.root} cannot be used: ${advice}`)
    })
  }

  test('a read-only file system is called that also when SQLite only cannot open its file', (t) => {
    const layout = emptyDataFolder(t)
    mkdirSync(layout.lock)
    answering(t, 'accessSync', 'EROFS')
    assert.equal(refusal(layout).message, `the data folder ${layout.root} cannot be used: its file system is read-only: mount it writable`)
  })

  test('a lock that was taken is given back when its holder cannot be written down', (t) => {
    const layout = emptyDataFolder(t)
    answering(t, 'writeFileSync', 'ENOSPC')
    assert.match(refusal(layout).message, /the disk is full: free some space$/)
    t.mock.restoreAll()
    syncBuiltinESMExports()
    DataFolderLock.acquire(layout, 'here').release()
  })
})
