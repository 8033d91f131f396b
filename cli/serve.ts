/**
 * `lanyard serve`: starts the registry and says what to type next.
 */
import type { Command } from 'commander'
import { parseListen } from '../server/config/listen.ts'
import type { Settings } from '../server/config/settings.ts'
import { firstAdministrator } from '../server/prepare.ts'
import { Primary } from '../server/primary.ts'
import { addSettingFlags, loadSettingsFor } from './config.ts'

export function addServeCommand(program: Command): void {
  addSettingFlags(program.command('serve').description('run the registry')).action(async (_options: object, command: Command) => {
    const settings = loadSettingsFor(command)
    let isFirst = false
    const port = await new Primary(settings).start(({ administrator }) => {
      isFirst = administrator !== undefined
      if (administrator?.madePassword !== undefined) tell(passwordLines(administrator.madePassword))
    })
    tell(greetingLines(settings, { host: reachableHost(settings, port), isFirst }))
  })
}

/** For the person who started it; goes to standard error, so that the log on standard output stays a log. */
function tell(lines: readonly string[]): void {
  process.stderr.write(`${lines.map((line) => `  ${line}`.trimEnd()).join('\n')}\n`)
}

function passwordLines(password: string): string[] {
  return [
    'An administrator was created. The password is shown only this once:',
    '',
    `    user      ${firstAdministrator}`,
    `    password  ${password}`,
    '',
  ]
}

/** What to type next is told at the first start only: the others are restarts. */
function greetingLines(settings: Settings, { host, isFirst }: { host: string; isFirst: boolean }): string[] {
  const isOpen = settings.access === 'open'
  const warning = 'WARNING: access is open. Anyone who reaches this address may pull, push and delete everything without a login.'
  const scheme = settings.tls.certificate === undefined ? 'http' : 'https'
  const image = `${host}/${firstAdministrator}/hello-world`
  const login = isOpen ? [] : [`    docker login ${host} --username ${firstAdministrator}`]
  return [
    `Lanyard is listening on ${settings.externalUrl ?? `${scheme}://${host}`}`,
    '',
    ...(isOpen ? [warning, ''] : []),
    ...(isFirst ? ['Next:', '', ...login, `    docker tag hello-world ${image}`, `    docker push ${image}`, ''] : []),
  ]
}

function reachableHost(settings: Settings, port: number): string {
  if (settings.externalUrl !== undefined) return settings.externalUrl.replace(/^https?:\/\//, '')
  const { host } = parseListen(settings.listen)
  const isAny = host === '0.0.0.0' || host === '::'
  if (isAny || host === '127.0.0.1' || host === '::1') return `localhost:${port}`
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
