/**
 * The table of the API: every operation, each from the file of its thing. Routes, the OpenAPI document, the documentation and the tests
 * read it.
 */
import * as accounts from './accounts.ts'
import * as manifests from './manifests.ts'
import * as me from './me.ts'
import type { Operation } from './operation.ts'
import * as repositories from './repositories.ts'
import * as tags from './tags.ts'

/** In the order of the documentation. Every export of these files is an operation. */
export const apiOperations: readonly Operation[] = [me, repositories, tags, manifests, accounts].flatMap((file): Operation[] =>
  Object.values(file),
)
