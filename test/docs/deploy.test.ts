/**
 * The deployments are whole and agree with the program and with each other.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse } from 'yaml'
import { loadSettings } from '../../server/config/load.ts'
import { allPages, codeBlocksOf, projectFiles, readPage } from './markdown.ts'

interface Compose {
  readonly services: { readonly registry: Service }
  readonly volumes: Record<string, unknown>
  readonly secrets?: Record<string, { file: string }>
}

interface Service {
  readonly image: string
  readonly build: string
  readonly ports: readonly string[]
  readonly volumes: readonly string[]
  readonly environment: Record<string, string>
  readonly secrets?: readonly string[]
  readonly user: string
  readonly read_only: boolean
  readonly cap_drop: readonly string[]
  readonly security_opt: readonly string[]
  readonly stop_grace_period: string
  readonly restart: string
}

const text = readPage('deploy/compose.yaml').text
/** With every line taken in that is commented out as an option. */
const complete = text.slice(text.indexOf('services:')).replaceAll(/^( *)# (?=- |\w+:|  )/gm, '$1')
const dockerfile = readPage('Dockerfile').text

test('the compose file confines the registry, keeps its data in a volume and serves this machine only', () => {
  const { services, volumes } = parse(text) as Compose
  const { registry } = services
  assert.deepEqual(registry.ports, ['127.0.0.1:5000:5000'])
  assert.deepEqual(registry.volumes, ['data:/data'])
  assert.ok('data' in volumes)
  assert.equal(registry.read_only, true)
  assert.deepEqual(registry.cap_drop, ['ALL'])
  assert.deepEqual(registry.security_opt, ['no-new-privileges:true'])
  assert.equal(registry.user, /^USER (.*)$/m.exec(dockerfile)?.[1])
  assert.equal(registry.build, '..')
})

test('the compose file gives a stop more time than the registry takes', () => {
  const { registry } = (parse(text) as Compose).services
  const { settings } = loadSettings({ env: {}, flags: {} })
  assert.ok(Number(/^(\d+)s$/.exec(registry.stop_grace_period)?.[1]) >= settings.shutdown.graceSeconds + 4)
})

test('with every option taken the compose file is whole, and its settings pass but for the files that are not here', () => {
  const { services, secrets } = parse(complete) as Compose
  const { registry } = services
  assert.deepEqual(registry.ports, ['127.0.0.1:5000:5000', '5000:5000'])
  assert.deepEqual(registry.secrets, Object.keys(secrets ?? {}))
  const { LANYARD_ADMIN_PASSWORD_FILE: passwordFile, ...env } = registry.environment
  assert.equal(passwordFile, `/run/secrets/${registry.secrets?.[0]}`)
  const { settings } = loadSettings({ env, flags: {} })
  const mount = registry.volumes.find((volume) => volume.startsWith('./certificate:'))?.split(':')[1]
  assert.ok(mount !== undefined && settings.tls.certificate?.startsWith(mount) === true && settings.tls.key?.startsWith(mount) === true)
  assert.deepEqual(settings.trustedProxies, ['172.16.0.0/12'])
})

test('the image holds every folder of the program, and the context of its build nothing else', () => {
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, sources = '']) => sources.split(' '))
  const folders = new Set(
    [...projectFiles()].filter((file) => file.endsWith('.ts') || file.endsWith('.sql')).map((file) => file.split('/')[0]),
  )
  for (const folder of ['test', 'bench']) folders.delete(folder)
  assert.deepEqual(new Set(copied), new Set([...folders, 'LICENSE', 'package-lock.json', 'package.json']))
  const allowed = [...readPage('.dockerignore').text.matchAll(/^!(.+)$/gm)].map(([, path]) => path)
  assert.deepEqual(new Set(allowed), new Set(copied))
})

test('every piece of YAML in the documents parses', () => {
  const pieces = allPages().flatMap((page) => codeBlocksOf(page).filter(({ language }) => language === 'yaml'))
  for (const { lines } of pieces) assert.equal(typeof parse(lines.join('\n')), 'object')
  assert.ok(pieces.length >= 4)
})
