/**
 * The commands that the documents tell people to type are there, and those on accounts, repositories and settings work.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { Command } from 'commander'
import { addAuditCommands } from '../../cli/audit.ts'
import { addBackupCommands } from '../../cli/backup.ts'
import { addCompletionCommand } from '../../cli/completion.ts'
import { addConfigCommands } from '../../cli/config.ts'
import { addCollectionCommands } from '../../cli/gc.ts'
import { addDoctorCommand } from '../../cli/doctor.ts'
import { addKeyCommands } from '../../cli/keys.ts'
import { addNamespaceCommands } from '../../cli/namespace.ts'
import { addRebuildCommand } from '../../cli/rebuild.ts'
import { addRepositoryCommands } from '../../cli/repository.ts'
import { addRobotCommands } from '../../cli/robot.ts'
import { addScrubCommands } from '../../cli/scrub.ts'
import { addServeCommand } from '../../cli/serve.ts'
import { addTagCommands } from '../../cli/tag.ts'
import { addTeamCommands } from '../../cli/team.ts'
import { addTokenCommands } from '../../cli/token.ts'
import { addTrashCommands } from '../../cli/trash.ts'
import { addUserCommands } from '../../cli/user.ts'
import { Client } from '../support/client.ts'
import { startRegistry } from '../support/start-registry.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { allPages, codeBlocksOf, inlineCodeOf, readPage, root } from './markdown.ts'

interface Ended {
  readonly status: number
  readonly output: string
}

function lanyard(words: readonly string[], options: { env?: Record<string, string>; input?: string; cwd?: string } = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [join(root, 'cli/lanyard.js'), ...words],
      { env: options.env ?? {}, ...(options.cwd === undefined ? {} : { cwd: options.cwd }) },
      (error, stdout, stderr) => resolve({ status: error === null ? 0 : Number(error.code), output: `${stdout}${stderr}` }),
    )
    child.stdin?.end(options.input ?? '')
  })
}

/** `npm run lanyard -- user list` and the like, without what follows them on the line. */
const inClone = /^npm run lanyard -- (?<words>[^#|;&]+?)\s*(?:#(?<comment>.*))?$/
const inContainer = /(?:exec (?:-\S+ )*(?:registry|lanyard)) lanyard (?<words>[^#|;&]+?)\s*$/

function commandsOf(lines: readonly string[]): string[][] {
  return lines.flatMap((line) => {
    const words = (inClone.exec(line) ?? inContainer.exec(line))?.groups?.['words']
    // A shell takes the quotes away.
    return words === undefined ? [] : [words.split(' ').map((word) => word.replace(/^'(.*)'$/, '$1'))]
  })
}

test('every lanyard command in the README works, one after the other, beside a running server', async (t) => {
  const registry = await startRegistry(t)
  await new Client(registry).pushImage('alice/hello', '1')
  const env = { LANYARD_DATA: registry.data, LANYARD_AUTH_BCRYPT_COST: '4' }
  const commands = codeBlocksOf(readPage('README.md')).flatMap(({ lines }) => commandsOf(lines.filter((line) => inClone.test(line))))
  assert.ok(commands.length >= 10)
  // Where a backup goes, and what is made of it.
  const cwd = temporaryFolder(t)
  for (const words of commands.map((each) => each.map((word) => word.replace(/^\/mnt\//, `${cwd}/`)))) {
    const asksForPassword = words[0] === 'user' && (words[1] === 'add' || words[1] === 'passwd')
    const { status, output } = await lanyard([...words, ...(asksForPassword ? ['--password-stdin'] : [])], {
      env,
      cwd,
      input: 'correct horse battery\n',
    })
    assert.equal(status, 0, `lanyard ${words.join(' ')}: ${output}`)
  }
})

/** What cli/main.ts puts together; the test below compares the two. */
function buildProgram(): Command {
  const program = new Command('lanyard').helpCommand(false)
  for (const add of [
    addServeCommand,
    addUserCommands,
    addNamespaceCommands,
    addTeamCommands,
    addRobotCommands,
    addTokenCommands,
    addRepositoryCommands,
    addTagCommands,
    addTrashCommands,
    addCollectionCommands,
    addKeyCommands,
    addAuditCommands,
    addScrubCommands,
    addBackupCommands,
    addRebuildCommand,
    addDoctorCommand,
    addConfigCommands,
    addCompletionCommand,
  ])
    add(program)
  return program
}

/** The command that leading words name, and its flags. */
function findCommand(words: readonly string[], within: Command = buildProgram()): Command | undefined {
  const next = within.commands.find((command) => command.name() === words[0])
  if (next) return findCommand(words.slice(1), next)
  return within.commands.length === 0 || within.registeredArguments.length > 0 ? within : undefined
}

function faultsOf(words: readonly string[]): string[] {
  const command = findCommand(words)
  if (!command) return [`lanyard ${words.join(' ')}: there is no such command`]
  const known = new Set(command.options.map((option) => option.long))
  const flags = words.filter((word) => word.startsWith('--')).map((word) => word.split('=')[0])
  return flags.filter((flag) => !known.has(flag)).map((flag) => `lanyard ${words.join(' ')}: there is no ${flag}`)
}

test('every lanyard command and flag that a document mentions exists', () => {
  const mentioned = new Map<string, string[]>()
  for (const page of [...allPages(), readPage('deploy/compose.yaml')]) {
    const inText = inlineCodeOf(page).flatMap((code) => commandsOf([code.replace(/^lanyard (?=[a-z])/, 'npm run lanyard -- ')]))
    const inBlocks = codeBlocksOf(page).flatMap(({ lines }) => commandsOf(lines))
    const inComments = page.text.split('\n').flatMap((line) => (line.startsWith('#  ') ? commandsOf([line]) : []))
    for (const words of [...inText, ...inBlocks, ...inComments]) mentioned.set(words.join(' '), words)
  }
  assert.ok(mentioned.size >= 12)
  const groups = new Set([
    'user',
    'namespace',
    'team',
    'robot',
    'token',
    'repo',
    'tag',
    'trash',
    'gc',
    'scrub',
    'keys',
    'audit',
    'backup',
    'config',
  ])
  const whole = [...mentioned.values()].filter((words) => words.length > 1 || !groups.has(words[0] ?? ''))
  assert.deepEqual(whole.flatMap(faultsOf), [])
})

test('every flag that the README explains beside a command is one of that command', () => {
  const lines = codeBlocksOf(readPage('README.md')).flatMap((block) => block.lines)
  const explained = lines.flatMap((line) => {
    const { words = '', comment = '' } = inClone.exec(line)?.groups ?? {}
    return (comment.match(/--[a-z-]+/g) ?? []).map((flag) => [...words.split(' '), flag])
  })
  assert.ok(explained.length > 0)
  assert.deepEqual(explained.flatMap(faultsOf), [])
})

test('every flag that the README gives to npm start is one of serve', () => {
  const flags = readPage('README.md').text.match(/(?<=npm start -- )--[a-z-]+/g) ?? []
  assert.ok(flags.length > 0)
  assert.deepEqual(
    flags.flatMap((flag) => faultsOf(['serve', flag])),
    [],
  )
})

test('the program has the commands that these tests know, and no others', async () => {
  const { output } = await lanyard(['--help'])
  const listed = [...output.matchAll(/^ {2}([a-z]+)(?:[ |]|$)/gm)].map(([, name = '']) => name)
  assert.deepEqual(
    listed,
    buildProgram().commands.map((command) => command.name()),
  )
})
