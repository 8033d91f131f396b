/** What is pasted where a machine signs in: each form is what its reader reads, and holds what signs in. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse } from 'yaml'
import { outputForms, renderCredentials } from '../../cli/credentials.ts'

const credentials = { registry: 'registry.lan:5000', username: 'team.c__i', secret: 'lyr_secret' }
const auth = Buffer.from('team.c__i:lyr_secret').toString('base64')
const config = { auths: { 'registry.lan:5000': { auth } } }
const textOf = (form: (typeof outputForms)[number]): string => renderCredentials(form, credentials)

test('docker-config is the content of ~/.docker/config.json', () => {
  assert.deepEqual(JSON.parse(textOf('docker-config')), config)
})

test('k8s-secret is a Secret that imagePullSecrets can name', () => {
  const secret = parse(textOf('k8s-secret')) as { metadata: { name: string }; data: Record<string, string> }
  const encoded = secret.data['.dockerconfigjson'] ?? ''
  assert.deepEqual(secret, {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'lanyard-team.c-i' },
    type: 'kubernetes.io/dockerconfigjson',
    data: { '.dockerconfigjson': encoded },
  })
  assert.deepEqual(JSON.parse(Buffer.from(encoded, 'base64').toString('utf8')), config)
  // RFC 1123, as Kubernetes wants the names of its objects.
  assert.match(secret.metadata.name, /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/)
})

test('github is a step that takes the secret from the store of secrets, into which it is to be put', () => {
  assert.deepEqual(parse(textOf('github')), [
    {
      name: 'Sign in to registry.lan:5000',
      uses: 'docker/login-action@v3',
      with: { registry: 'registry.lan:5000', username: 'team.c__i', password: '${{ secrets.LANYARD_TOKEN }}' },
    },
  ])
  assert.match(textOf('github'), /^# {3}name {4}LANYARD_TOKEN\n# {3}secret {2}lyr_secret$/m)
})

test('gitlab is variables, one of them what the runner reads', () => {
  const lines = textOf('gitlab')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
  const variables = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]))
  const { DOCKER_AUTH_CONFIG: json = '', ...others } = variables
  assert.deepEqual(others, { LANYARD_REGISTRY: 'registry.lan:5000', LANYARD_USERNAME: 'team.c__i', LANYARD_TOKEN: 'lyr_secret' })
  assert.deepEqual(JSON.parse(json), config)
})

test('plain is for people', () => {
  assert.equal(
    textOf('plain'),
    'registry  registry.lan:5000\nusername  team.c__i\npassword  lyr_secret\n\ndocker login registry.lan:5000 --username team.c__i --password-stdin\n',
  )
})

test('every form says the secret once as it is, or once encoded', () => {
  for (const form of outputForms) {
    const text = textOf(form)
    const decoded = text.replace(/(?<=dockerconfigjson: )\S+$/m, (encoded) => Buffer.from(encoded, 'base64').toString('utf8'))
    const times = decoded.split('lyr_secret').length - 1 + (decoded.split(auth).length - 1)
    assert.equal(times, form === 'gitlab' ? 2 : 1, form)
  }
})
