/**
 * The table of the API: every operation, each from the file of its thing. Routes, the OpenAPI document, the documentation and the tests
 * read it.
 */
import { compareBytes } from '../../oci/paging.ts'
import * as accessTokens from './access-tokens.ts'
import * as accounts from './accounts.ts'
import * as audit from './audit.ts'
import * as collection from './collection.ts'
import * as credentials from './credentials.ts'
import * as manifests from './manifests.ts'
import * as me from './me.ts'
import * as members from './members.ts'
import * as namespaces from './namespaces.ts'
import type { Operation } from './operation.ts'
import * as repositories from './repositories.ts'
import * as robots from './robots.ts'
import * as scrub from './scrub.ts'
import * as sessions from './sessions.ts'
import * as tags from './tags.ts'
import * as teams from './teams.ts'
import * as trash from './trash.ts'

const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']

const files = [
  me,
  credentials,
  accessTokens,
  sessions,
  repositories,
  tags,
  manifests,
  trash,
  namespaces,
  members,
  robots,
  teams,
  accounts,
  audit,
  collection,
  scrub,
]

/** In the order of the documentation: by thing, path and method. Every export of these files is an operation. */
export const apiOperations: readonly Operation[] = inOrder(files.flatMap((file): Operation[] => Object.values(file)))

function inOrder(operations: readonly Operation[]): Operation[] {
  const byThing = Map.groupBy(operations, ({ tag }) => tag)
  return [...byThing.values()].flatMap((group) =>
    group.toSorted((a, b) => compareBytes(a.path, b.path) || methods.indexOf(a.method) - methods.indexOf(b.method)),
  )
}
