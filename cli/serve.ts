/**
 * `lanyard serve`: starts the registry and says what to type next.
 */
import type { Command } from 'commander'
import { parseListen } from '../server/config/listen.ts'
import type { Settings } from '../server/config/settings.ts'
import { firstAdministrator } from '../server/prepare.ts'
import { Primary, type Started } from '../server/primary.ts'
import { addSettingFlags, loadSettingsFor } from './config.ts'

export function addServeCommand(program: Command): void {
  addSettingFlags(program.command('serve').description('run the registry')).action(async (_options: object, command: Command) => {
    const settings = loadSettingsFor(command)
    const started = await new Primary(settings).start()
    process.stderr.write(greeting(settings, started))
  })
}

/** For the person who started it; goes to standard error, so that the log on standard output stays a log. */
function greeting(settings: Settings, { preparation, port }: Started): string {
  const host = reachableHost(settings, port)
  const lines = [`Lanyard is listening on ${settings.tls.certificate === undefined ? 'http' : 'https'}://${host}`, '']
  if (preparation.madePassword !== undefined) {
    lines.push(
      'An administrator was created. The password is shown only this once:',
      '',
      `    user      ${firstAdministrator}`,
      `    password  ${preparation.madePassword}`,
      '',
    )
  }
  if (settings.access === 'open') {
    lines.push('WARNING: access is open. Anyone who reaches this address may pull, push and delete everything without a login.', '')
  } else {
    lines.push('Next:', '', `    docker login ${host} --username ${firstAdministrator}`)
  }
  lines.push(
    `    docker tag hello-world ${host}/${firstAdministrator}/hello-world`,
    `    docker push ${host}/${firstAdministrator}/hello-world`,
    '',
  )
  return `${lines.map((line) => `  ${line}`.trimEnd()).join('\n')}\n`
}

function reachableHost(settings: Settings, port: number): string {
  if (settings.externalUrl !== undefined) return settings.externalUrl.replace(/^https?:\/\//, '')
  const { host } = parseListen(settings.listen)
  const isAny = host === '0.0.0.0' || host === '::'
  if (isAny || host === '127.0.0.1' || host === '::1') return `localhost:${port}`
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
