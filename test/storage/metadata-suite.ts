/**
 * What every database of metadata must do, whatever engine keeps the rows. An engine passes by calling this with a factory.
 */
import { suite } from 'node:test'
import { accessTokenTests } from './metadata/access-token-tests.ts'
import { accountTests } from './metadata/account-tests.ts'
import { auditTests } from './metadata/audit-tests.ts'
import { blobTests } from './metadata/blob-tests.ts'
import { grantTests } from './metadata/grant-tests.ts'
import { manifestTests } from './metadata/manifest-tests.ts'
import type { MetadataFactory } from './metadata/metadata-store.ts'
import { namespaceTests } from './metadata/namespace-tests.ts'
import { repositoryTests } from './metadata/repository-tests.ts'
import { secondFactorTests, sessionTests } from './metadata/sign-in-tests.ts'
import { tagTests } from './metadata/tag-tests.ts'
import { teamTests } from './metadata/team-tests.ts'
import { transactionTests } from './metadata/transaction-tests.ts'
import { uploadTests } from './metadata/upload-tests.ts'

/** Declares the suite. */
export function metadataSuite(name: string, create: MetadataFactory): void {
  suite(`${name} runs transactions`, () => transactionTests(create))
  suite(`${name} keeps accounts`, () => accountTests(create))
  suite(`${name} keeps namespaces`, () => namespaceTests(create))
  suite(`${name} keeps teams`, () => teamTests(create))
  suite(`${name} keeps grants of roles`, () => grantTests(create))
  suite(`${name} keeps access tokens and robots`, () => accessTokenTests(create))
  suite(`${name} keeps repositories`, () => repositoryTests(create))
  suite(`${name} keeps blobs and their links`, () => blobTests(create))
  suite(`${name} keeps manifests and references`, () => manifestTests(create))
  suite(`${name} keeps tags`, () => tagTests(create))
  suite(`${name} keeps the audit log`, () => auditTests(create))
  suite(`${name} keeps upload sessions`, () => uploadTests(create))
  suite(`${name} keeps browser sessions`, () => sessionTests(create))
  suite(`${name} keeps second factors`, () => secondFactorTests(create))
}
