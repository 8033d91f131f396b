// The container's HEALTHCHECK: asks the registry on its own address whether it is ready. Kept out of the command line because
// it runs every few seconds and must start fast.
//
// Owns no setting: the address is the one that the running server wrote down, wherever it was set; the environment counts only
// while there is none. Whether it speaks TLS is found by asking, because a file of settings may say so.
import { readFileSync } from 'node:fs'
import { get as getHttp } from 'node:http'
import { get as getHttps } from 'node:https'

const address = /^(?:\[(?<v6>[^\]]*)\]|(?<name>[^:]*)):(?<port>\d+)$/
const everyAddress = new Map([
  ['', '127.0.0.1'],
  ['0.0.0.0', '127.0.0.1'],
  ['::', '127.0.0.1'],
])
const timeoutMs = 2000

/* eslint-disable node/no-process-env -- it must start fast: the settings' reader costs more than the check itself */
const { LANYARD_DATA: data = './data', LANYARD_LISTEN: listen = '127.0.0.1:5000', LANYARD_TLS_CERTIFICATE: certificate } = process.env
const { v6, name, port } = address.exec(findRunning(data) ?? listen)?.groups ?? {}
const host = v6 ?? name ?? ''
const options = { host: everyAddress.get(host) ?? host, port, path: '/readyz', timeout: timeoutMs, rejectUnauthorized: false }
const schemes = certificate === undefined || certificate === '' ? [getHttp, getHttps] : [getHttps, getHttp]
process.exit((await asks(schemes[0])) || (await asks(schemes[1])) ? 0 : 1)

/** The address in the lock's note; undefined when no server runs, or a command has the folder. */
function findRunning(folder) {
  try {
    const running = JSON.parse(readFileSync(`${folder}/server.json`, 'utf8')).listen
    return address.test(running) ? running : undefined
  } catch {
    return undefined
  }
}

/** Whether the registry answers in this scheme, and that it is ready. */
function asks(get) {
  return new Promise((resolve) => {
    const request = get(options, (response) => resolve(response.statusCode === 200))
    request.on('error', () => resolve(false))
    request.on('timeout', () => request.destroy())
  })
}
