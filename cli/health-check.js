// The container's HEALTHCHECK: asks the registry on its own port whether it is ready. Kept out of the command line because
// it runs every few seconds and must start fast.
import { get as getHttp } from 'node:http'
import { get as getHttps } from 'node:https'

/* eslint-disable node/no-process-env -- it must start fast: the settings' reader costs more than the check itself */
const port = /(\d+)$/.exec(process.env.LANYARD_LISTEN ?? '')?.[1] ?? '5000'
const isTls = Boolean(process.env.LANYARD_TLS_CERTIFICATE)
const options = { host: '127.0.0.1', port, path: '/readyz', timeout: 2000, rejectUnauthorized: false }
const request = (isTls ? getHttps : getHttp)(options, (response) => process.exit(response.statusCode === 200 ? 0 : 1))
request.on('error', () => process.exit(1))
request.on('timeout', () => process.exit(1))
