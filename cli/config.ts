/**
 * `lanyard config`: what is set and whether it is right; and the flags by which every command takes settings.
 *
 * The flags and what is printed come from the table of settings. Where the values come from is decided in server/config/.
 */
import { type Command, Option } from 'commander'
import { describeFlags, renderSettings, renderSettingsJson } from '../server/config/describe.ts'
import { processEnvironment } from '../server/config/environment.ts'
import { type LoadedSettings, loadSettings } from '../server/config/load.ts'
import { flagNameOf, type Settings } from '../server/config/settings.ts'
import { type Environment, fileFlag, fileVariable, type Flags } from '../server/config/sources.ts'

const sources = 'also from the environment and a file, see docs/configuration.md'

/** `config print` and `config check`; the environment is an argument so that a test can bring its own. */
export function addConfigCommands(program: Command, env: Environment = processEnvironment()): void {
  const config = program.command('config').description('the settings in effect').helpCommand(false)
  addSettingFlags(
    config.command('print').description('show every setting and where its value comes from').option('--json', 'one JSON object'),
  ).action((options: { json?: true }, command: Command) => {
    const loaded = load(command, env)
    write(command, options.json ? renderSettingsJson(loaded) : renderSettings(loaded))
  })
  addSettingFlags(config.command('check').description('report everything that is wrong with the settings')).action(
    (_options: object, command: Command) => {
      load(command, env)
      write(command, 'the settings are in order\n')
    },
  )
}

/** Registers `--config` and one flag for each setting. @returns the command, to go on with */
export function addSettingFlags(command: Command): Command {
  return addFlags(command, { heading: `Settings (${sources}):`, isShown: () => true })
}

/** The same for a command that only works on the data folder: the other settings are taken too, but its help is about itself. */
export function addDataFlags(command: Command): Command {
  const heading = `Settings (${sources}; "lanyard serve --help" lists the others):`
  return addFlags(command, { heading, isShown: (name) => name === flagNameOf('data') })
}

function addFlags(command: Command, { heading, isShown }: { heading: string; isShown: (name: string) => boolean }): Command {
  command.optionsGroup(heading)
  command.addOption(new Option(`--${fileFlag} <file>`, `a YAML file of settings (default: what ${fileVariable} names)`))
  for (const { name, help, isHidden } of describeFlags())
    command.addOption(new Option(`--${name} <value>`, help).hideHelp(isHidden || !isShown(name)))
  return command
}

/** The flags of settings that were given to a command, by their long names. */
export function settingFlagsOf(command: Command): Flags {
  const names = new Set([fileFlag, ...describeFlags().map((flag) => flag.name)])
  const given = command.options.filter((option) => option.long !== undefined && names.has(option.long?.slice(2) ?? ''))
  return Object.fromEntries(given.map((option) => [option.name(), command.getOptionValue(option.attributeName()) as string | undefined]))
}

/**
 * The settings of a command that addSettingFlags has prepared.
 * @throws {ConfigError} anything unknown, unreadable or not allowed
 */
export function loadSettingsFor(command: Command): Settings {
  return load(command, processEnvironment()).settings
}

function load(command: Command, env: Environment): LoadedSettings {
  return loadSettings({ env, flags: settingFlagsOf(command) })
}

function write(command: Command, text: string): void {
  command.configureOutput().writeOut?.(text)
}
