/**
 * The command line: every command, its options and its exit status. Commands on accounts and repositories work on the
 * data folder itself, beside a running server or without one.
 */
import { Command } from 'commander'
import { ConfigError } from '../server/config/load.ts'
import { isRegistryError, RegistryError } from '../oci/errors.ts'
import { SigningKeyError } from '../auth/signing-keys.ts'
import { RebuildError } from '../storage/recovery/rebuild.ts'
import { StartError } from '../server/primary.ts'
import { DataFolderError } from '../storage/data-folder-lock.ts'
import { SchemaError } from '../storage/metadata/migrate.ts'
import { BackupError } from '../storage/recovery/backup-folder.ts'
import { addAuditCommands } from './audit.ts'
import { addBackupCommands } from './backup.ts'
import { addCompletionCommand } from './completion.ts'
import { addConfigCommands } from './config.ts'
import { addCollectionCommands } from './gc.ts'
import { addDoctorCommand } from './doctor.ts'
import { addKeyCommands } from './keys.ts'
import { addNamespaceCommands } from './namespace.ts'
import { addRebuildCommand } from './rebuild.ts'
import { addRepositoryCommands } from './repository.ts'
import { addRobotCommands } from './robot.ts'
import { addScrubCommands } from './scrub.ts'
import { addServeCommand } from './serve.ts'
import { addTagCommands } from './tag.ts'
import { addTeamCommands } from './team.ts'
import { CommandError } from './terminal.ts'
import { addTokenCommands } from './token.ts'
import { addTrashCommands } from './trash.ts'
import { addUserCommands } from './user.ts'

// Whatever a command or the server makes is its user's alone, also in a data folder that others may enter: the database holds
// password hashes, and SQLite would let everybody read it. The workers inherit this.
process.umask(0o077)

const program = new Command('lanyard')
  .description('A self-hosted OCI container registry: docker login, push and pull on your own network.')
  .showHelpAfterError('(add --help for what there is)')
  .helpCommand(false)

addServeCommand(program)
addUserCommands(program)
addNamespaceCommands(program)
addTeamCommands(program)
addRobotCommands(program)
addTokenCommands(program)
addRepositoryCommands(program)
addTagCommands(program)
addTrashCommands(program)
addCollectionCommands(program)
addKeyCommands(program)
addAuditCommands(program)
addScrubCommands(program)
addBackupCommands(program)
addRebuildCommand(program)
addDoctorCommand(program)
addConfigCommands(program)
addCompletionCommand(program)

const expected = [
  RegistryError,
  BackupError,
  RebuildError,
  ConfigError,
  DataFolderError,
  SchemaError,
  SigningKeyError,
  StartError,
  CommandError,
]

/** Faults that a person can act on are one sentence; anything else is ours and keeps its stack. */
function explain(error: unknown): string {
  // The registry's clients are told to ask the operator; this is the operator.
  if (isStorageFault(error) && error.cause instanceof Error) return `the data folder cannot be used: ${error.cause.message}`
  if (error instanceof Error && expected.some((kind) => error instanceof kind)) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

function isStorageFault(error: unknown): error is RegistryError {
  return isRegistryError(error, 'storageFailed') || isRegistryError(error, 'storageFull')
}

try {
  await program.parseAsync()
} catch (error) {
  process.stderr.write(`lanyard: ${explain(error)}\n`)
  process.exitCode = 1
}
