/**
 * What a registry would be like that breaks a promise: for the checks of the campaign itself, which must notice each.
 *
 * Lies below the moments, so that the campaign kills where it always does.
 */
import cluster from 'node:cluster'
import fs from 'node:fs'
import { Server, ServerResponse, type IncomingMessage } from 'node:http'
import { syncBuiltinESMExports } from 'node:module'
import Sqlite from 'better-sqlite3'
import { statementName } from './transactions.ts'

type Callable = (...args: unknown[]) => unknown

/** How much later than promised a step is taken. */
const lateMs = 100

const sabotages = {
  /** A deletion is acknowledged before it is committed. */
  answersFirst: () => {
    const servers = Server.prototype as unknown as { emit: Callable }
    const { emit } = servers
    servers.emit = function (this: Server, ...args) {
      const [event, request, response] = args as [string, IncomingMessage, ServerResponse]
      if (event !== 'request' || request.method !== 'DELETE' || !request.url?.includes('/manifests/')) return emit.apply(this, args)
      response.writeHead(202, { 'Content-Length': 0 }).end()
      setTimeout(() => emit.call(this, 'request', request, new ServerResponse(request)), lateMs)
      return true
    }
  },
  /** Rows are committed before the file has its name, and the look at it that comes first is deceived. */
  namesLate: () => {
    const rename = fs.rename as Callable
    const statSync = fs.statSync as Callable
    const coming = new Map<unknown, unknown>()
    const late = (from: unknown, to: unknown, done: Callable): void => {
      coming.set(to, from)
      setTimeout(() => rename(from, to, () => coming.delete(to)), lateMs)
      done(null)
    }
    const deceived = (path: unknown, ...others: unknown[]): unknown => statSync(coming.get(path) ?? path, ...others)
    Object.assign(fs, { rename: late, statSync: deceived })
  },
  /** The log of commits is not there any more after a crash. */
  losesLog: () => {
    const database = `${process.env['LANYARD_DATA'] ?? ''}/lanyard.db`
    if (cluster.isPrimary) for (const suffix of ['-wal', '-shm']) fs.rmSync(`${database}${suffix}`, { force: true })
  },
  /** A bit of what is written flips. */
  flipsBits: () => {
    const writev = fs.writev as Callable
    const flipping = (file: unknown, ...[chunks, ...others]: unknown[]): unknown => {
      const bytes = Buffer.concat(chunks as Uint8Array[])
      bytes[0] = (bytes[0] ?? 0) ^ 1
      return writev(file, [bytes], ...others)
    }
    Object.defineProperties(flipping, Object.getOwnPropertyDescriptors(writev))
    Object.assign(fs, { writev: flipping })
  },
  /** What a dead worker was writing to stays claimed. */
  keepsClaims: () => {
    const memory = new Sqlite(':memory:')
    const statements = memory.prepare('select 1').constructor.prototype as { run: Callable }
    memory.close()
    const { run } = statements
    statements.run = function (this: { source: string }, ...args) {
      if (statementName(this.source.toLowerCase()) === 'claims release') return { changes: 0, lastInsertRowid: 0 }
      return run.apply(this, args)
    }
  },
} as const satisfies Record<string, () => void>

export type Sabotage = keyof typeof sabotages

/** @param name empty for none. */
export function sabotage(name: string | undefined): void {
  if (name === undefined || name === '') return
  sabotages[name as Sabotage]()
  syncBuiltinESMExports()
}
