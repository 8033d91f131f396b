/**
 * What every database of metadata must do, whatever engine keeps the rows. An engine passes by calling this with a factory.
 */
import { suite } from 'node:test'
import { accountTests } from './metadata/account-tests.ts'
import { auditTests } from './metadata/audit-tests.ts'
import { blobTests } from './metadata/blob-tests.ts'
import { manifestTests } from './metadata/manifest-tests.ts'
import type { MetadataFactory } from './metadata/metadata-store.ts'
import { repositoryTests } from './metadata/repository-tests.ts'
import { tagTests } from './metadata/tag-tests.ts'
import { transactionTests } from './metadata/transaction-tests.ts'
import { uploadTests } from './metadata/upload-tests.ts'

/** Declares the suite. */
export function metadataSuite(name: string, create: MetadataFactory): void {
  suite(`${name} runs transactions`, () => transactionTests(create))
  suite(`${name} keeps accounts`, () => accountTests(create))
  suite(`${name} keeps repositories`, () => repositoryTests(create))
  suite(`${name} keeps blobs and their links`, () => blobTests(create))
  suite(`${name} keeps manifests and references`, () => manifestTests(create))
  suite(`${name} keeps tags`, () => tagTests(create))
  suite(`${name} keeps the audit log`, () => auditTests(create))
  suite(`${name} keeps upload sessions`, () => uploadTests(create))
}
