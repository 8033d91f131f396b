/**
 * The OpenAPI 3.1 document, made from the table of operations and nothing else. Spec: OpenAPI 3.1.1.
 */
import { z } from 'zod'
import { sessionCookieName } from '../../auth/sessions.ts'
import { errorTable, type ErrorReason } from '../../oci/errors.ts'
import { apiRoot, type Operation, type Shape } from './operation.ts'

export interface JsonObject {
  readonly [member: string]: unknown
}

/** The part of a document that documentation and tests read. */
export interface OpenApiDocument extends JsonObject {
  readonly openapi: string
  readonly info: { readonly title: string; readonly version: string; readonly description: string }
  readonly tags: readonly { readonly name: string; readonly description: string }[]
  readonly paths: Readonly<Record<string, Readonly<Record<string, OpenApiOperation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, JsonObject>>; readonly securitySchemes: JsonObject }
}

export interface OpenApiParameter {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly required: boolean
  readonly description?: string
  readonly schema: JsonObject
}

export interface OpenApiOperation {
  readonly operationId: string
  readonly tags: readonly string[]
  readonly summary: string
  readonly description: string
  readonly parameters: readonly OpenApiParameter[]
  readonly requestBody?: { readonly required: true; readonly content: Readonly<Record<string, { readonly schema: JsonObject }>> }
  readonly responses: Readonly<Record<string, OpenApiResponse>>
  readonly security: readonly JsonObject[]
}

export interface OpenApiResponse {
  readonly description: string
  readonly headers?: JsonObject
  readonly content?: Readonly<Record<string, { readonly schema: JsonObject }>>
}

const general = `The API of a Lanyard registry: accounts, repositories and what is in them.

Sign in with Basic (user name and password) or with a token as Bearer. Errors are problem details (RFC 9457): \`code\` is one of the
registry protocol's, \`reason\` is finer and a row of docs/errors.md, \`errors\` names each member that is wrong.

Lists come in pages: \`limit\` says how many entries, \`next\` in the answer is the \`cursor\` of the next page, and a Link header leads
there. Times are ISO 8601 in UTC, sizes bytes. What can be edited has an ETag; a change that sends it in If-Match is refused with 412
when somebody else changed the thing meanwhile. What the caller may not see is answered like what is not there.

Names of repositories hold slashes: in a path they are written \`%2F\`.`

/** Faults that any operation can have, whatever it does. */
const always: readonly ErrorReason[] = [
  'hostInvalid',
  'requestInvalid',
  'parameterInvalid',
  'unauthenticated',
  'credentialsWrong',
  'tokenInvalid',
  'scopeInsufficient',
  'denied',
  'internal',
  'loginBusy',
  'shuttingDown',
  'storageFailed',
]

const problemSchema = z
  .strictObject({
    type: z.literal('about:blank'),
    title: z.string().meta({ description: 'The status in words.' }),
    status: z.int(),
    detail: z.string().meta({ description: 'A sentence for a person: what is wrong, and what to do.' }),
    code: z.string().meta({ description: 'A code of the registry protocol.', examples: ['NAME_UNKNOWN'] }),
    reason: z.enum(Object.keys(errorTable)).meta({ description: 'What exactly went wrong, a row of docs/errors.md.' }),
    errors: z
      .array(z.strictObject({ in: z.enum(['path', 'query', 'body']), member: z.string(), detail: z.string() }))
      .optional()
      .meta({ description: 'Each member of the request that is not as it must be.' }),
  })
  .meta({ id: 'Problem', description: 'RFC 9457.' })

/** @param tags what each group of operations is about, by its name */
export function renderOpenApi(operations: readonly Operation[]): OpenApiDocument {
  const schemas = new SchemaCollection()
  const problem = schemas.add(problemSchema, 'output')
  const paths: Record<string, Record<string, OpenApiOperation>> = {}
  const versioned = new Set(operations.filter(({ isConditional }) => isConditional).map(({ path }) => path))
  for (const operation of operations) {
    const path = (paths[`${apiRoot}${operation.path}`] ??= {})
    const headers = headersOf(operation, versioned)
    path[operation.method.toLowerCase()] = renderOperation(operation, { schemas, problem, headers })
  }
  const names = [...new Set(operations.map(({ tag }) => tag))]
  return {
    openapi: '3.1.1',
    info: { title: 'Lanyard', version: '1', description: general },
    servers: [{ url: '/' }],
    tags: names.map((name) => ({ name, description: `Operations on ${name}.` })),
    paths,
    components: {
      schemas: schemas.all(),
      securitySchemes: {
        basic: { type: 'http', scheme: 'basic', description: 'User name and password.' },
        bearer: { type: 'http', scheme: 'bearer', description: 'A token.' },
        session: {
          type: 'apiKey',
          in: 'cookie',
          name: sessionCookieName(false),
          description: `A browser's, from \`POST ${apiRoot}/session\`; a change needs the token of the session in X-CSRF-Token, too.`,
        },
      },
    },
  }
}

/** What the answer of success says in headers. @param versioned paths of what has a version */
function headersOf({ path, query, answer }: Operation, versioned: ReadonlySet<string>): JsonObject {
  const header = (description: string) => ({ description, schema: { type: 'string' } })
  return {
    ...(answer.status === 201 && { Location: header('Where what was made is found.') }),
    ...(answer.status === 200 && versioned.has(path) && { ETag: header('Its version, for If-Match.') }),
    ...(query && 'cursor' in query && { Link: header('The next page, with rel="next"; absent when this is the last.') }),
  }
}

function renderOperation(
  operation: Operation,
  { schemas, problem, headers }: { schemas: SchemaCollection; problem: JsonObject; headers: JsonObject },
): OpenApiOperation {
  const { description, right, answer } = operation
  return {
    operationId: operation.id,
    tags: [operation.tag],
    summary: operation.summary,
    description: `${description === undefined ? '' : `${description} `}Needed: ${right.text}.`,
    parameters: [
      ...renderParameters(operation.parameters, 'path', schemas),
      ...renderParameters(operation.query, 'query', schemas),
      ...(operation.isConditional ? [ifMatch] : []),
    ],
    ...(operation.body && {
      requestBody: { required: true, content: { 'application/json': { schema: schemas.add(operation.body, 'input') } } },
    }),
    responses: {
      [answer.status]: {
        description: answer.description,
        ...(Object.keys(headers).length > 0 && { headers }),
        ...(answer.schema && { content: { 'application/json': { schema: schemas.add(answer.schema, 'output') } } }),
      },
      ...renderErrors(operation, problem),
    },
    security: [{ basic: [] }, { bearer: [] }, { session: [] }],
  }
}

const ifMatch: OpenApiParameter = {
  name: 'If-Match',
  in: 'header',
  required: false,
  description: 'The ETag that the thing must still have.',
  schema: { type: 'string' },
}

function renderParameters(shape: Shape | undefined, where: 'path' | 'query', schemas: SchemaCollection): OpenApiParameter[] {
  return Object.entries(shape ?? {}).map(([name, field]) => {
    const schema = schemas.add(field, 'input')
    const { description } = schema
    return {
      name,
      in: where,
      required: where === 'path' || !field.safeParse(undefined).success,
      ...(typeof description === 'string' && { description }),
      schema,
    }
  })
}

/** The faults that an operation can be answered with. */
export function reasonsOf(operation: Operation): ErrorReason[] {
  const isOfRepository = operation.parameters !== undefined && 'name' in operation.parameters
  return [
    ...always,
    ...(isOfRepository ? (['nameInvalid', 'nameUnknown'] as const) : []),
    ...(operation.parameters && 'tag' in operation.parameters ? (['tagInvalid'] as const) : []),
    ...(operation.body ? (['requestTooLarge', 'mediaTypeUnsupported', 'uploadInterrupted'] as const) : []),
    ...(operation.isConditional ? (['versionChanged'] as const) : []),
    ...(operation.method === 'GET' ? [] : (['storageFull'] as const)),
    ...(operation.errors ?? []),
  ]
}

function renderErrors(operation: Operation, problem: JsonObject): Record<string, OpenApiResponse> {
  const byStatus = Map.groupBy([...new Set(reasonsOf(operation))], (reason) => errorTable[reason].status)
  return Object.fromEntries(
    Array.from(byStatus, ([status, reasons]) => [
      String(status),
      { description: `${reasons.join(', ')}.`, content: { 'application/problem+json': { schema: problem } } },
    ]),
  )
}

/** Schemas with a name of their own, each once. */
class SchemaCollection {
  readonly #schemas = new Map<string, JsonObject>()

  /** The schema as it stands where it is used: by name when it has one. */
  add(schema: z.ZodType, io: 'input' | 'output'): JsonObject {
    const { $schema: _dialect, $defs = {}, ...own } = z.toJSONSchema(schema, { io, target: 'draft-2020-12' }) as JsonObject
    for (const [name, definition] of Object.entries($defs as JsonObject)) this.#schemas.set(name, relocate(definition) as JsonObject)
    return relocate(own) as JsonObject
  }

  all(): Record<string, JsonObject> {
    return Object.fromEntries([...this.#schemas].toSorted(([a], [b]) => (a < b ? -1 : 1)))
  }
}

/** From where zod keeps named schemas to where OpenAPI does. */
function relocate(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(relocate)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [
      key,
      key === '$ref' && typeof member === 'string' ? member.replace('#/$defs/', '#/components/schemas/') : relocate(member),
    ]),
  )
}
