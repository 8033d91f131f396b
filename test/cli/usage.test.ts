/** How commands are told apart, explained and refused: help that reads well, and one sentence for wrong use. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
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
import { settingRows, flagNameOf } from '../../server/config/settings.ts'
import { runLanyard } from '../support/spawn-lanyard.ts'

function everyCommand(): Command[] {
  const program = new Command('lanyard')
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
  const withChildren = (command: Command): Command[] => [command, ...command.commands.flatMap(withChildren)]
  return program.commands.flatMap(withChildren)
}

const pathOf = (command: Command): string => `${command.parent?.name() === 'lanyard' ? '' : `${command.parent?.name()} `}${command.name()}`

test('these are the commands', () => {
  assert.deepEqual(everyCommand().map(pathOf), [
    'serve',
    'user',
    'user add',
    'user list',
    'user show',
    'user passwd',
    'user disable',
    'user enable',
    'user role',
    'user second-factor',
    'user sessions',
    'user remove',
    'namespace',
    'namespace list',
    'namespace show',
    'namespace create',
    'namespace rename',
    'namespace remove',
    'namespace grant',
    'namespace revoke',
    'namespace members',
    'namespace visibility',
    'team',
    'team list',
    'team show',
    'team create',
    'team remove',
    'team add',
    'team drop',
    'robot',
    'robot create',
    'robot list',
    'robot show',
    'robot change',
    'robot rotate',
    'robot disable',
    'robot enable',
    'robot remove',
    'token',
    'token create',
    'token list',
    'token show',
    'token change',
    'token rotate',
    'token revoke',
    'repo',
    'repo list',
    'repo show',
    'repo visibility',
    'repo untagged',
    'repo delete',
    'tag',
    'tag list',
    'tag show',
    'tag set',
    'tag delete',
    'tag history',
    'tag restore',
    'trash',
    'trash list',
    'trash restore',
    'trash purge',
    'gc',
    'gc status',
    'gc run',
    'keys',
    'keys list',
    'keys rotate',
    'keys revoke',
    'audit',
    'audit list',
    'audit export',
    'scrub',
    'scrub run',
    'scrub status',
    'backup',
    'backup list',
    'backup verify',
    'restore',
    'rebuild',
    'doctor',
    'config',
    'config print',
    'config check',
    'completion',
  ])
})

suite('the help of', () => {
  for (const command of everyCommand()) {
    test(`lanyard ${pathOf(command)} says what it and each of its options does`, () => {
      assert.match(command.description(), /^(?!.*\.$)[a-z"].{7,}$/)
      for (const option of command.options) {
        assert.match(option.description, /^\S.{7,}$/, option.flags)
        assert.equal(option.defaultValue, undefined, 'defaults are told by the table of settings')
      }
      const help = command.helpInformation()
      assert.doesNotMatch(help, /undefined|\[object/)
      assert.match(help, /^Usage: /)
    })
  }
})

test('a command that runs takes every setting as a flag; those on the data folder show only where it is', () => {
  // These work on no data folder.
  const others = ['completion', 'backup list', 'backup verify']
  const runs = (command: Command): boolean => command.commands.length === 0 || command.registeredArguments.length > 0
  for (const command of everyCommand().filter((each) => runs(each) && !others.includes(pathOf(each)))) {
    const flags = command.options.map((option) => option.long?.slice(2))
    for (const row of settingRows) assert.ok(flags.includes(flagNameOf(row.key)), `${pathOf(command)} ${row.key}`)
    const help = command.helpInformation()
    const isAboutAll = ['serve', 'doctor'].includes(pathOf(command)) || command.parent?.name() === 'config'
    assert.ok(help.includes('--data <value>') && help.includes('--config <file>'))
    assert.equal(help.includes('--workers <value>'), isAboutAll, pathOf(command))
    assert.ok(!help.includes('--admin-password'), 'a secret is no flag to suggest')
  }
})

test('--help answers on standard output with status 0, for the program and for a command', async () => {
  const [program, command] = await Promise.all([runLanyard(['--help']), runLanyard(['user', 'add', '--help'])])
  for (const { status, stderr } of [program, command]) assert.deepEqual([status, stderr], [0, ''])
  assert.match(program.stdout, /^Usage: lanyard \[options\] \[command\]\n\nA self-hosted OCI container registry/)
  for (const name of [
    'serve',
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
    'restore',
    'rebuild',
    'doctor',
    'config',
  ])
    assert.match(program.stdout, new RegExp(`^ {2}${name}[| ]`, 'm'))
  assert.match(command.stdout, /^Usage: lanyard user add \[options\] <name>\n/)
  assert.match(command.stdout, /--password-stdin {2}read the password from standard input\n/)
})

const wrong: readonly (readonly [args: string, said: string | RegExp])[] = [
  ['launch', "error: unknown command 'launch'"],
  ['sevre', "error: unknown command 'sevre'\n(Did you mean serve?)"],
  ['user add', "error: missing required argument 'name'"],
  ['user add a b', /^error: too many arguments for 'add'\. Expected 1 argument but got 2/],
  ['user role bob', "error: missing required argument 'role'"],
  ['user list --jsn', "error: unknown option '--jsn'\n(Did you mean --json?)"],
  ['serve --lisen :5000', "error: unknown option '--lisen'\n(Did you mean --listen?)"],
  ['serve --listen', "error: option '--listen <value>' argument missing"],
  ['keys revoke', "error: missing required argument 'kid'"],
]

test('wrong use is one sentence, where it leads on, and status 1', async () => {
  const outcomes = await Promise.all(wrong.map(([args]) => runLanyard(args.split(' '))))
  for (const [index, { status, stdout, stderr }] of outcomes.entries()) {
    const [args, said = ''] = wrong[index] ?? []
    assert.deepEqual([status, stdout], [1, ''], args)
    const sentence = stderr.replace(/\n\(add --help for what there is\)\n$/, '')
    assert.notEqual(sentence, stderr, 'it leads on')
    if (typeof said === 'string') assert.equal(sentence, said)
    else assert.match(sentence, said)
    assert.doesNotMatch(stderr, / {4}at /)
  }
})

test('a command or a group alone shows its help and fails, so that a script notices', async () => {
  const [program, group] = await Promise.all([runLanyard([]), runLanyard(['user'])])
  for (const { status, stdout, stderr } of [program, group]) {
    assert.deepEqual([status, stdout], [1, ''])
    assert.match(stderr, /^Usage: lanyard/)
  }
})
