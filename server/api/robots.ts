/**
 * Operations on the robots of a namespace, for its owners and for administrators. A secret stands in the answer of what makes it, and
 * nowhere else.
 *
 * Invariant: by an access token no robot is made, changed or renewed that does more than it.
 */
import { z } from 'zod'
import { authorizeScopes } from '../../auth/authorize.ts'
import { accountNameOf } from '../../auth/identity.ts'
import type { AccessTokenFacts, MadeToken } from '../../registry/access-tokens.ts'
import { changeRobot as change, makeRobot, removeRobot, robotNamed, robotsOf, rotateRobot, type RobotFacts } from '../../registry/robots.ts'
import type { Services } from '../services.ts'
import { isoTime, time } from './fields.ts'
import { apiRoot, operation, type Deed } from './operation.ts'
import { pageBody, pageOf, pageQuery } from './page.ts'
import { ofNamespaceOwner } from './right.ts'
import * as fields from './token-fields.ts'
import { versionOf } from './version.ts'

const tag = 'robots'
const namespace = z
  .string()
  .min(1)
  .max(255)
  .meta({ description: 'The name of a namespace.', examples: ['team'] })
const ofOne = {
  namespace,
  robot: z
    .string()
    .min(1)
    .max(255)
    .meta({ description: 'The name of a robot within its namespace.', examples: ['ci'] }),
}
const example = { path: { namespace: 'team', robot: 'ci' } }
const description = z.string().meta({ description: 'One line of at most 255 characters.', examples: ['builds'] })
const pullScopes = [{ actions: ['pull'], repositories: 'team/*' }]

const robotSchema = z
  .strictObject({
    name: z.string().meta({ description: 'Within its namespace.' }),
    namespace: z.string(),
    username: z.string().meta({ description: 'With which it signs in.', examples: ['team.ci'] }),
    description: z.string(),
    disabled: z.boolean().meta({ description: 'Whether everything is refused to it.' }),
    createdAt: time,
    createdBy: z.string().nullable().meta({ description: 'Account name; null when it was made on the server itself.' }),
    tokens: z.array(fields.tokenSchema).meta({
      description: 'Its own first, then old secrets that go on; those that have ended only where one robot is described.',
    }),
  })
  .meta({ id: 'Robot' })
const madeSchema = z.strictObject({ ...robotSchema.shape, secret: fields.secret }).meta({ id: 'NewRobot' })

export const listRobots = operation({
  id: 'listRobots',
  method: 'GET',
  path: '/namespaces/{namespace}/robots',
  tag,
  summary: 'List the robots of a namespace',
  description: 'By the names with which they sign in.',
  right: ofNamespaceOwner,
  parameters: { namespace },
  query: pageQuery(['text']),
  answer: { status: 200, description: 'A page of robots.', schema: pageOf('RobotPage', robotSchema) },
  errors: ['namespaceUnknown'],
  example: { path: { namespace: 'team' } },
  handle: async ({ services: { registry }, path, query: { cursor, limit } }) => {
    const wish = { namespace: path.namespace, after: cursor?.[0], limit, nowMs: registry.clock() }
    return { body: pageBody(await robotsOf(registry.database, wish), { itemOf: describe, keyOf: ({ fullName }) => [fullName] }) }
  },
})

export const createRobot = operation({
  id: 'createRobot',
  method: 'POST',
  path: '/namespaces/{namespace}/robots',
  tag,
  summary: 'Make a robot with its access token',
  description: 'It signs in as the namespace, a dot and its name. It pushes and deletes in its namespace alone, and administers nothing.',
  right: ofNamespaceOwner,
  parameters: { namespace },
  body: z
    .strictObject({
      name: z.string().meta({ description: 'Within the namespace, without a dot.', examples: ['ci'] }),
      description: description.optional(),
      scopes: fields.scopes,
      lifetimeSeconds: fields.lifetimeSeconds,
    })
    .meta({ id: 'RobotWish' }),
  answer: { status: 201, description: 'The robot with its secret; Location says where it is.', schema: madeSchema },
  errors: ['namespaceUnknown', 'nameTaken'],
  example: { path: { namespace: 'team' }, body: { name: 'ci', scopes: pullScopes } },
  deed: ({ path, body }) => deedOf('robot-add', { ...path, robot: body?.name ?? '' }, { scopes: fields.scopesText(body?.scopes) }),
  handle: async ({ services, caller, path, body: { name, description: text = '', ...body } }) => {
    const { database, clock } = services.registry
    const nowMs = clock()
    const made = await makeRobot(database, {
      namespace: path.namespace,
      name,
      description: text,
      nowMs,
      scopes: fields.scopesOf(caller, body.scopes),
      expiresAtMs: fields.expiryOf(body.lifetimeSeconds, nowMs),
      by: accountNameOf(caller.identity) ?? null,
    })
    const location = `${apiRoot}/namespaces/${path.namespace}/robots/${name}`
    return { ...(await shown(services, { namespace: path.namespace, robot: name }, made)), location }
  },
})

export const getRobot = operation({
  id: 'getRobot',
  method: 'GET',
  path: '/namespaces/{namespace}/robots/{robot}',
  tag,
  summary: 'Describe a robot with all its tokens',
  right: ofNamespaceOwner,
  parameters: ofOne,
  answer: { status: 200, description: 'The robot.', schema: robotSchema },
  errors: ['namespaceUnknown', 'robotUnknown'],
  example,
  handle: async ({ services: { registry }, path }) => reply(await robotNamed(registry.database, named(path), registry.clock())),
})

export const changeRobot = operation({
  id: 'changeRobot',
  method: 'PATCH',
  path: '/namespaces/{namespace}/robots/{robot}',
  tag,
  summary: 'Change what a robot may do, disable or describe it',
  description: 'Acts on its next request. Members that are left out stay as they are.',
  right: ofNamespaceOwner,
  parameters: ofOne,
  body: z
    .strictObject({ scopes: fields.scopes.optional(), disabled: z.boolean().optional(), description: description.optional() })
    .refine((given) => Object.keys(given).length > 0, { error: 'nothing to change: give scopes, disabled or description' })
    .meta({ id: 'RobotChange', minProperties: 1 }),
  answer: { status: 200, description: 'The robot as it is now.', schema: robotSchema },
  isConditional: true,
  errors: ['namespaceUnknown', 'robotUnknown'],
  example: { ...example, body: { disabled: true } },
  deed: ({ path, body }) => deedOf('robot-change', path, { disabled: body?.disabled, scopes: fields.scopesText(body?.scopes) }),
  handle: async ({ services: { registry }, caller, path, body, requireVersion }) => {
    const scopes = body.scopes && fields.scopesOf(caller, body.scopes)
    const check = (current: RobotFacts): void => requireVersion(versionIn(current))
    const wish = { ...named(path), scopes, isDisabled: body.disabled, description: body.description, nowMs: registry.clock(), check }
    return reply(await change(registry.database, wish))
  },
})

export const deleteRobot = operation({
  id: 'deleteRobot',
  method: 'DELETE',
  path: '/namespaces/{namespace}/robots/{robot}',
  tag,
  summary: 'Remove a robot',
  description: 'What it pushed stays.',
  right: ofNamespaceOwner,
  parameters: ofOne,
  answer: { status: 204, description: 'It is gone.' },
  isConditional: true,
  errors: ['namespaceUnknown', 'robotUnknown'],
  example,
  deed: ({ path }) => deedOf('robot-remove', path),
  handle: async ({ services: { registry }, path, requireVersion }) => {
    const check = (current: RobotFacts): void => requireVersion(versionIn(current))
    await removeRobot(registry.database, { ...named(path), nowMs: registry.clock(), check })
    return { body: undefined }
  },
})

export const rotateRobotSecret = operation({
  id: 'rotateRobot',
  method: 'POST',
  path: '/namespaces/{namespace}/robots/{robot}/rotate',
  tag,
  summary: 'Give a robot a new secret',
  description: 'The old one may go on for a while.',
  right: ofNamespaceOwner,
  parameters: ofOne,
  body: fields.rotation,
  answer: { status: 200, description: 'The robot with its new secret.', schema: madeSchema },
  errors: ['namespaceUnknown', 'robotUnknown', 'accessTokenUnknown'],
  example: { ...example, body: { overlapSeconds: 3600 } },
  deed: ({ path }) => deedOf('robot-change', path, { change: 'secret' }),
  handle: async ({ services, caller, path, body }) => {
    const { database, clock } = services.registry
    const check = (current: AccessTokenFacts): void => authorizeScopes(caller, current.scopes)
    const made = await rotateRobot(database, { ...named(path), ...fields.rotationOf(body, clock()), check })
    return shown(services, path, made)
  },
})

interface OfOne {
  readonly namespace: string
  readonly robot: string
}

function named({ namespace: of, robot: name }: OfOne) {
  return { namespace: of, name }
}

async function shown({ registry }: Services, path: OfOne, { secret }: MadeToken) {
  return { body: { ...describe(await robotNamed(registry.database, named(path), registry.clock())), secret } }
}

function reply(robot: RobotFacts) {
  return { body: describe(robot), version: versionIn(robot) }
}

function versionIn({ fullName, description: text, isDisabled, tokens }: RobotFacts): string {
  return versionOf([fullName, text, isDisabled, tokens.map(fields.essenceOf)])
}

function describe(robot: RobotFacts): z.input<typeof robotSchema> {
  return {
    name: robot.name,
    namespace: robot.namespace,
    username: robot.fullName,
    description: robot.description,
    disabled: robot.isDisabled,
    createdAt: isoTime(robot.createdAtMs),
    createdBy: robot.createdBy ?? null,
    tokens: robot.tokens.map(fields.describeToken),
  }
}

function deedOf(action: Deed['action'], { namespace: of, robot }: OfOne, detail?: Deed['detail']): Deed {
  return { action, target: `${of}.${robot}`, ...(detail && { detail }) }
}
