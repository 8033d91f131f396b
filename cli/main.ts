/**
 * The command line: every command, its options and its exit status. Commands on accounts and repositories work on the
 * data folder itself, beside a running server or without one.
 */
import { Command } from 'commander'
import { ConfigError } from '../server/config/load.ts'
import { RegistryError } from '../oci/errors.ts'
import { DataFolderError } from '../storage/data-folder-lock.ts'
import { SchemaError } from '../storage/metadata/migrate.ts'
import { addConfigCommands } from './config.ts'
import { addKeyCommands } from './keys.ts'
import { addRepositoryCommands } from './repository.ts'
import { addServeCommand } from './serve.ts'
import { CommandError } from './terminal.ts'
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
addRepositoryCommands(program)
addKeyCommands(program)
addConfigCommands(program)

/** Faults that a person can act on are one sentence; anything else is ours and keeps its stack. */
function explain(error: unknown): string {
  const isExpected =
    error instanceof RegistryError ||
    error instanceof ConfigError ||
    error instanceof DataFolderError ||
    error instanceof SchemaError ||
    error instanceof CommandError
  if (isExpected) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

try {
  await program.parseAsync()
} catch (error) {
  process.stderr.write(`lanyard: ${explain(error)}\n`)
  process.exitCode = 1
}
