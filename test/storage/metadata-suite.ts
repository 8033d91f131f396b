/**
 * What every database of metadata must do, whatever engine keeps the rows. An engine passes by calling this with a factory.
 */
import { suite, type TestContext } from 'node:test'
import type { Database } from '../../storage/metadata/database.ts'
import { accountTests } from './metadata/account-tests.ts'
import { blobTests } from './metadata/blob-tests.ts'
import { manifestTests } from './metadata/manifest-tests.ts'
import { repositoryTests } from './metadata/repository-tests.ts'
import { tagTests } from './metadata/tag-tests.ts'
import { transactionTests } from './metadata/transaction-tests.ts'
import { uploadTests } from './metadata/upload-tests.ts'

export interface MetadataStore {
  readonly database: Database
  /** Another handle on the same rows, as another worker has one. */
  readonly openAnother: () => Database
  /** What Database.open takes, for a process of its own. */
  readonly location: string
}

/** A store that is empty but for its schema, gone when the test is over. */
export type MetadataFactory = (t: TestContext) => Promise<MetadataStore>

/** Declares the suite. */
export function metadataSuite(name: string, create: MetadataFactory): void {
  suite(`${name} runs transactions`, () => transactionTests(create))
  suite(`${name} keeps accounts`, () => accountTests(create))
  suite(`${name} keeps repositories`, () => repositoryTests(create))
  suite(`${name} keeps blobs and their links`, () => blobTests(create))
  suite(`${name} keeps manifests and references`, () => manifestTests(create))
  suite(`${name} keeps tags`, () => tagTests(create))
  suite(`${name} keeps upload sessions`, () => uploadTests(create))
}
