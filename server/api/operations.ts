/**
 * The table of the API: every operation, each from the file of its thing. Routes, the OpenAPI document, the documentation and the tests
 * read it.
 */
import { compareBytes } from '../../oci/paging.ts'
import * as accounts from './accounts.ts'
import * as manifests from './manifests.ts'
import * as me from './me.ts'
import * as members from './members.ts'
import * as namespaces from './namespaces.ts'
import type { Operation } from './operation.ts'
import * as repositories from './repositories.ts'
import * as tags from './tags.ts'
import * as teams from './teams.ts'

const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']

/** In the order of the documentation: by thing, path and method. Every export of these files is an operation. */
export const apiOperations: readonly Operation[] = [me, repositories, tags, manifests, namespaces, members, teams, accounts].flatMap(
  (file): Operation[] => inOrder(Object.values(file)),
)

function inOrder(operations: readonly Operation[]): Operation[] {
  return operations.toSorted((a, b) => compareBytes(a.path, b.path) || methods.indexOf(a.method) - methods.indexOf(b.method))
}
