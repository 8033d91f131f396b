/** Commands on one data folder, as a person types them: what is printed on success, and the one sentence on failure. */
import assert from 'node:assert/strict'
import { runLanyard } from './spawn-lanyard.ts'

export interface CommandLine {
  /** The command succeeds and says nothing on standard error. @returns standard output. */
  readonly does: (args: string, input?: string) => Promise<string>
  /** The command fails with status 1 and prints nothing but one sentence. @returns it, without the program's name. */
  readonly refuses: (args: string, input?: string) => Promise<string>
}

/** @param data the folder; undefined leaves it to the settings. */
export function commandLine(data: string | undefined, settings: Readonly<Record<string, string>> = {}): CommandLine {
  const run = (args: string, input: string) =>
    runLanyard(args.split(' '), { input, settings: { ...(data === undefined ? {} : { DATA: data }), ...settings } })
  return {
    does: async (args, input = '') => {
      const { status, stdout, stderr } = await run(args, input)
      assert.deepEqual([status, stderr], [0, ''], args)
      return stdout
    },
    refuses: async (args, input = '') => {
      const { status, stdout, stderr } = await run(args, input)
      assert.deepEqual([status, stdout], [1, ''], args)
      const [sentence = '', rest] = stderr.split('\n')
      assert.ok(sentence.startsWith('lanyard: ') && rest === '', `one sentence, not: ${stderr}`)
      return sentence.slice('lanyard: '.length)
    },
  }
}
