/**
 * V8 reads an escaped key of one document as a key of another that was parsed before (nodejs/node#63785): `{"\"":1}` has the key `\` once
 * `{"\\":1}` has been read. A manifest could so hide a field from the registry that every other reader sees.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseStrictJson } from '../../oci/strict-json.ts'
import { Client, descriptorOf, expectStatus, imageManifest, indexType, manifestType, sha256 } from '../support/client.ts'
import { startRegistry } from '../support/start-registry.ts'

const keysOf = (text: string): string[] => Object.keys(Object(parseStrictJson(Buffer.from(text))))

/** Documents whose keys begin as the escaped ones below do in the text. */
const poison = ['{"h":[],"\\\\":0}', '{"":1,"\\\\\\\\":1}', '{"a":1,"manifest\\\\":[]}', '{"a\\\\":0}']

test('an escaped key is read as what it says, whatever was read before', () => {
  for (const text of poison) keysOf(text)
  assert.deepEqual(keysOf('{"h":1,"\\"":2}'), ['h', '"'])
  assert.deepEqual(keysOf('{"h":1,"\\n":2}'), ['h', '\n'])
  assert.deepEqual(keysOf('{"":1,"\\\\a":1}'), ['', '\\a'])
  assert.deepEqual(keysOf('{"a":1,"manifest\\u0073":[]}'), ['a', 'manifests'])
  assert.deepEqual(keysOf('{"a\\u0062":1}'), ['ab'])
})

test('in objects within lists and objects too, each value under its own key', () => {
  for (const text of poison) keysOf(text)
  const text = '{"h":[{"h":1,"\\"":2},[],{"":{"\\u0061":3,"b":null}}],"\\u0037":4,"3":5,"\\"":[6]}'
  const value = { h: [{ h: 1, '"': 2 }, [], { '': { a: 3, b: null } }], '7': 4, '3': 5, '"': [6] }
  assert.deepEqual(parseStrictJson(Buffer.from(text)), value)
})

test('a manifest cannot hide a second meaning behind such a key', async (t) => {
  const client = new Client(await startRegistry(t))
  await client.pushBlob('team/app', '{}')
  const image = JSON.stringify(imageManifest('{}', []))
  const disguised = (key: string): string => image.replace('"layers":[]', `"layers":[],"${key}":[]`)
  await expectStatus(await client.putManifest('team/app', 'first', disguised('manifest\\\\')), 201)
  const push = { body: disguised('manifest\\u0073'), headers: { 'Content-Type': manifestType } }
  const answer = await expectStatus(await client.call('PUT', '/v2/team/app/manifests/second', push), 400)
  assert.equal(answer.errors[0]?.code, 'MANIFEST_INVALID')
})

test('annotations keep their keys in the list of referrers', async (t) => {
  const client = new Client(await startRegistry(t))
  const subject = descriptorOf('the subject', indexType)
  const push = async (annotations: object): Promise<string> => {
    const text = JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests: [], subject, annotations })
    await expectStatus(await client.putManifest('team/app', sha256(text), text), 201)
    return text
  }
  await push({ '\\': 'poison' })
  await push({ '"': 'quote' })
  const answer = await expectStatus(await client.call('GET', `/v2/team/app/referrers/${subject.digest}`), 200)
  assert.ok(answer.bytes.includes('"annotations":{"\\\\":"poison"}'))
  assert.ok(answer.bytes.includes('"annotations":{"\\"":"quote"}'))
})
