/** What the tests of the rows are given: a store that is empty but for its schema. */
import type { TestContext } from 'node:test'
import type { Database } from '../../../storage/metadata/database.ts'

export interface MetadataStore {
  readonly database: Database
  /** Another handle on the same rows, as another worker has one. */
  readonly openAnother: () => Database
  /** What Database.open takes, for a process of its own. */
  readonly location: string
}

/** A store that is empty but for its schema, gone when the test is over. */
export type MetadataFactory = (t: TestContext) => Promise<MetadataStore>
