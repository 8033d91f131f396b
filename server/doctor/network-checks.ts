/**
 * The doctor on what clients meet: the certificate, and whether a server that runs answers.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { get as getHttp, type IncomingMessage } from 'node:http'
import { get as getHttps } from 'node:https'
import { hostname } from 'node:os'
import { readHolder, type Holder } from '../../storage/data-folder-lock.ts'
import type { DataLayout } from '../../storage/layout.ts'
import { parseListen } from '../config/listen.ts'
import type { Settings } from '../config/settings.ts'
import { fault, ok, warning, wordsOf, type Finding } from './finding.ts'

const dayMs = 24 * 3_600_000
const soonDays = 14
const answerMs = 3000
const askedAtMost = 16

export function checkCertificate({ tls }: Pick<Settings, 'tls'>, nowMs: number): Finding[] {
  if (tls.certificate === undefined || tls.key === undefined) {
    const isHalf = tls.certificate !== undefined || tls.key !== undefined
    if (isHalf) return [fault('certificate', 'only one of tls.certificate and tls.key is set', 'set both, or none')]
    return [ok('certificate', 'none is set: TLS is spoken by a proxy, or not at all')]
  }
  try {
    const certificate = new X509Certificate(readFileSync(tls.certificate))
    if (!certificate.checkPrivateKey(createPrivateKey(readFileSync(tls.key))))
      return [fault('certificate', `${tls.key} is not the key of ${tls.certificate}`, 'install the two that belong together')]
    return [lifeOf(certificate, nowMs)]
  } catch (error) {
    return [
      fault(
        'certificate',
        `the certificate or its key cannot be read: ${wordsOf(error)}`,
        'they must be PEM files that the user of the registry may read',
      ),
    ]
  }
}

function lifeOf(certificate: X509Certificate, nowMs: number): Finding {
  const advice = 'renew it: the server takes new files up without a restart'
  const fromMs = Date.parse(certificate.validFrom)
  const untilMs = Date.parse(certificate.validTo)
  const until = new Date(untilMs).toISOString()
  if (nowMs < fromMs)
    return fault(
      'certificate',
      `the certificate is valid only from ${new Date(fromMs).toISOString()} on`,
      `${advice}; or is the clock wrong?`,
    )
  if (nowMs > untilMs) return fault('certificate', `the certificate has expired on ${until}`, advice)
  if (untilMs - nowMs < soonDays * dayMs) return warning('certificate', `the certificate expires on ${until}`, advice)
  return ok('certificate', `the certificate is valid until ${until}`)
}

/** Asks a server that runs on the folder, once for each worker and on a connection of its own: they are handed out in turn. */
export async function checkServer(layout: DataLayout, settings: Pick<Settings, 'workers'>): Promise<Finding[]> {
  const holder = readHolder(layout)
  if (!holder || !/:\d+$/.test(holder.listen)) return [ok('server', 'no server runs on this folder')]
  if (!isAlive(holder)) {
    const what = `server.json tells of a server (process ${holder.pid} on ${holder.host}) that is not there: it was killed`
    return [warning('server', what, 'start it again; it clears up after itself')]
  }
  if (parseListen(holder.listen).port === 0) return [ok('server', `a server runs (process ${holder.pid}), on a port that it chose itself`)]
  const asked = Math.min(settings.workers, askedAtMost)
  const answers = await Promise.all(Array.from({ length: asked }, () => ask(holder.listen)))
  const wrong = answers.filter((answer) => answer !== 200)
  if (wrong.length === 0) return [ok('server', `${asked} of ${asked} requests to ${holder.listen} were answered: ready`)]
  const what = `${wrong.length} of ${asked} requests to ${holder.listen} were not answered as they should be: ${wrong[0]}`
  return [fault('server', what, 'look into its log; "lanyard doctor" as the user it runs as says more about its disk')]
}

/** On another machine, such as outside a container, nobody can tell. */
function isAlive({ pid, host }: Holder): boolean {
  if (host !== hostname()) return true
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

/** @returns the status of /readyz, or why there is none */
async function ask(listen: string): Promise<number | string> {
  const { host, port } = parseListen(listen)
  const at = host === '' || host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
  const answer = await send(getHttp, { host: at, port })
  // A server that speaks TLS has no words for who does not.
  return typeof answer === 'number' && answer !== 400 ? answer : send(getHttps, { host: at, port })
}

function send(get: typeof getHttp | typeof getHttps, to: { host: string; port: number }): Promise<number | string> {
  return new Promise((resolve) => {
    const options = { ...to, path: '/readyz', timeout: answerMs, agent: false as const, rejectUnauthorized: false }
    const request = get(options, (response: IncomingMessage) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
    request.on('error', (error) => resolve(error.message))
    request.on('timeout', () => {
      request.destroy()
      resolve(`no answer within ${answerMs / 1000} s`)
    })
  })
}
