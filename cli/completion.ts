/**
 * `lanyard completion`: scripts that complete commands and options in a shell, made from the tree of commands.
 */
import { Argument, type Command } from 'commander'
import { print } from './terminal.ts'

/** A command and what may follow it. */
export interface CompletionNode {
  /** The words before it: `/repo/list`; empty for the program. */
  readonly path: string
  readonly words: readonly { readonly text: string; readonly description: string }[]
}

const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript } as const

export function addCompletionCommand(program: Command): void {
  program
    .command('completion')
    .description('print a script that completes commands in a shell: eval "$(lanyard completion bash)"')
    .addArgument(new Argument('<shell>', 'the shell').choices(Object.keys(scripts)))
    .action((shell: keyof typeof scripts) => print(scripts[shell](completionNodes(program))))
}

/** Every command with its commands and options; an alias is a command like any other. */
export function completionNodes(command: Command, path = ''): CompletionNode[] {
  const commands = command.commands.flatMap((each) => namesOf(each).map((text) => ({ text, description: each.description() })))
  const options = command.options
    .filter((option) => !option.hidden && option.long)
    .map((option) => ({ text: option.long ?? '', description: option.description }))
  const below = command.commands.flatMap((each) => namesOf(each).flatMap((name) => completionNodes(each, `${path}/${name}`)))
  return [{ path, words: [...commands, ...options, { text: '--help', description: 'what there is' }] }, ...below]
}

function namesOf(command: Command): string[] {
  return [command.name(), ...command.aliases()]
}

/** The walk along the words before the cursor, the same in bash and zsh: `path` ends as that of the innermost command. */
function walk(nodes: readonly CompletionNode[], words: string): string[] {
  const known = nodes.map(({ path }) => path).filter((path) => path !== '')
  return [
    `  local at= word`,
    `  for word in ${words}; do`,
    `    case "$at/$word" in`,
    `      ${known.join('|')}) at="$at/$word" ;;`,
    `    esac`,
    `  done`,
  ]
}

function bashScript(nodes: readonly CompletionNode[]): string {
  return lines([
    '# eval "$(lanyard completion bash)"',
    '_lanyard() {',
    ...walk(nodes, '"${COMP_WORDS[@]:1:COMP_CWORD-1}"'),
    '  case "$at" in',
    ...nodes.map(({ path, words }) => `    '${path}') set -- ${words.map(({ text }) => text).join(' ')} ;;`),
    '  esac',
    '  COMPREPLY=($(compgen -W "$*" -- "${COMP_WORDS[COMP_CWORD]}"))',
    '}',
    'complete -o default -F _lanyard lanyard',
  ])
}

function zshScript(nodes: readonly CompletionNode[]): string {
  return lines([
    '#compdef lanyard',
    '# eval "$(lanyard completion zsh)"',
    '_lanyard() {',
    ...walk(nodes, '"${words[@]:1:$((CURRENT-2))}"'),
    '  local -a found',
    '  case "$at" in',
    ...nodes.map(({ path, words }) => `    '${path}') found=(${words.map(zshWord).join(' ')}) ;;`),
    '  esac',
    "  _describe 'lanyard' found || _files",
    '}',
    'compdef _lanyard lanyard',
  ])
}

function fishScript(nodes: readonly CompletionNode[]): string {
  const known = nodes.map(({ path }) => path).filter((path) => path !== '')
  return lines([
    '# lanyard completion fish | source',
    'function __lanyard_at',
    "  set -l at ''",
    '  for word in (commandline -opc)[2..]',
    '    switch "$at/$word"',
    `      case ${known.join(' ')}`,
    '        set at "$at/$word"',
    '    end',
    '  end',
    '  test "$at" = "$argv[1]"',
    'end',
    ...nodes.flatMap(({ path, words }) =>
      words.map(({ text, description }) => {
        const word = text.startsWith('--') ? `-l ${text.slice(2)}` : `-f -a ${text}`
        return `complete -c lanyard -n "__lanyard_at '${path}'" ${word} -d ${quoted(description)}`
      }),
    ),
  ])
}

function zshWord({ text, description }: CompletionNode['words'][number]): string {
  return quoted(`${text}:${description}`)
}

/** In single quotes, which the three shells read alike but for the quote itself: it is left out. */
function quoted(text: string): string {
  return `'${text.replaceAll(/['\\]/g, '')}'`
}

function lines(texts: readonly string[]): string {
  return `${texts.join('\n')}\n`
}
