/** Completion scripts: that they follow the tree of commands, and that bash completes with them. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { Command } from 'commander'
import { completionNodes } from '../../cli/completion.ts'
import { addRepositoryCommands } from '../../cli/repository.ts'
import { runLanyard } from '../support/spawn-lanyard.ts'

/** What bash offers for a line, with the script of this program. */
async function completions(line: string): Promise<string[]> {
  const { stdout: script } = await runLanyard(['completion', 'bash'])
  const words = line.split(' ')
  const quoted = words.map((word) => `'${word}'`).join(' ')
  const asked = `COMP_WORDS=(${quoted}); COMP_CWORD=${words.length - 1}; _lanyard; printf '%s\\n' "\${COMPREPLY[@]}"`
  return execFileSync('bash', ['--norc', '-c', `${script}\n${asked}`], { encoding: 'utf8' })
    .trim()
    .split('\n')
}

test('every command and alias is a node, with its commands and the options that its help shows', () => {
  const program = new Command('lanyard')
  addRepositoryCommands(program)
  const nodes = completionNodes(program)
  const paths = nodes.map(({ path }) => path)
  const commands = ['list', 'show', 'visibility', 'untagged', 'delete']
  assert.deepEqual(paths, ['', ...['/repo', '/repository'].flatMap((path) => [path, ...commands.map((each) => `${path}/${each}`)])])
  const words = nodes.find(({ path }) => path === '/repo/list')?.words.map(({ text }) => text) ?? []
  for (const option of ['--json', '--filter', '--server', '--data', '--help']) assert.ok(words.includes(option), option)
  assert.ok(!words.includes('--admin-password') && !words.includes('--workers'))
})

test('bash completes commands, their commands and options', async () => {
  assert.deepEqual(await completions('lanyard rep'), ['repo', 'repository'])
  assert.deepEqual(await completions('lanyard tag h'), ['history'])
  assert.deepEqual(await completions('lanyard tag list team/app --f'), ['--filter'])
  assert.deepEqual(await completions('lanyard repo vis'), ['visibility'])
  assert.ok((await completions('lanyard ')).includes('serve'))
})

test('there is a script for bash, zsh and fish, and for no other', async () => {
  for (const [shell, sign] of [
    ['bash', 'complete -o default -F _lanyard lanyard'],
    ['zsh', 'compdef _lanyard lanyard'],
    ['fish', `complete -c lanyard -n "__lanyard_at '/tag'" -f -a history -d `],
  ] as const) {
    const { status, stdout, stderr } = await runLanyard(['completion', shell])
    assert.deepEqual([status, stderr], [0, ''])
    assert.ok(stdout.includes(sign), shell)
  }
  assert.equal((await runLanyard(['completion', 'csh'])).status, 1)
})
