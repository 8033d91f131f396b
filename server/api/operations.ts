/**
 * The table of the API: every operation, each from the file of its thing. Routes, the OpenAPI document, the documentation and the tests
 * read it.
 */
import { compareBytes } from '../../oci/paging.ts'
import * as accessTokens from './access-tokens.ts'
import * as accounts from './accounts.ts'
import * as audit from './audit.ts'
import * as credentials from './credentials.ts'
import * as manifests from './manifests.ts'
import * as me from './me.ts'
import type { Operation } from './operation.ts'
import * as repositories from './repositories.ts'
import * as robots from './robots.ts'
import * as scrub from './scrub.ts'
import * as sessions from './sessions.ts'
import * as tags from './tags.ts'

const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']

const files = [me, credentials, accessTokens, sessions, repositories, tags, manifests, robots, accounts, audit, scrub]

/** In the order of the documentation: by thing, path and method. Every export of these files is an operation. */
export const apiOperations: readonly Operation[] = inOrder(files.flatMap((file): Operation[] => Object.values(file)))

function inOrder(operations: readonly Operation[]): Operation[] {
  const byThing = Map.groupBy(operations, ({ tag }) => tag)
  return [...byThing.values()].flatMap((group) =>
    group.toSorted((a, b) => compareBytes(a.path, b.path) || methods.indexOf(a.method) - methods.indexOf(b.method)),
  )
}
