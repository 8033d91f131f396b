/**
 * What commands share in talking to a person: passwords in, tables out, faults of use.
 */
import { once } from 'node:events'
import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'

/** A command was used wrongly, with the sentence that says how to do it right. */
export class CommandError extends Error {}

/**
 * A password from the terminal, without showing it, asked for twice; or the first line of standard input.
 * @throws {CommandError} the two differ, or there is neither a terminal nor `--password-stdin`
 */
export async function readPassword(options: { fromStdin: boolean }): Promise<string> {
  if (options.fromStdin) return firstLine(await readAll(process.stdin))
  if (!process.stdin.isTTY) throw new CommandError('there is no terminal to ask for the password: use --password-stdin')
  const password = await ask('Password: ')
  if ((await ask('Again: ')) !== password) throw new CommandError('the two passwords differ: nothing was changed')
  return password
}

/** The password that one has: from the terminal, without showing it, or the first line of standard input. */
export async function readCurrentPassword(): Promise<string> {
  return process.stdin.isTTY ? ask('Password: ') : firstLine(await readAll(process.stdin))
}

/**
 * Goes on only if the person says yes: `isSure` says it beforehand, for scripts.
 * @throws {CommandError} they do not, or there is neither a terminal nor `--yes`
 */
export async function confirm(consequence: string, { isSure }: { isSure: boolean }): Promise<void> {
  if (isSure) return
  if (!process.stdin.isTTY) throw new CommandError(`${consequence}: add --yes if that is what you want`)
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = await lines.question(`${consequence}. Go on? [y/N] `)
    if (!/^y(?:es)?$/i.test(answer.trim())) throw new CommandError('nothing was changed')
  } finally {
    lines.close()
  }
}

async function ask(question: string): Promise<string> {
  process.stderr.write(question)
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input: process.stdin, output: silent, terminal: true })
  try {
    return await lines.question('')
  } finally {
    lines.close()
    process.stderr.write('\n')
  }
}

async function readAll(stream: AsyncIterable<Buffer | string>): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of stream) parts.push(Buffer.from(part))
  return Buffer.concat(parts).toString('utf8')
}

function firstLine(text: string): string {
  return text.split(/\r?\n/, 1)[0] ?? ''
}

/** A text without what a terminal would obey: names and labels are anybody's. */
export function printable(text: string): string {
  return text.toWellFormed().replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\u{fffd}')
}

/** `1.5 MiB` */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(bytes, 1)) / 10))
  return power === 0 ? `${bytes} B` : `${(bytes / 1024 ** power).toFixed(1)} ${units[power]}`
}

/** Columns aligned, the first row the head. */
export function formatTable(texts: readonly (readonly string[])[]): string {
  const rows = texts.map((row) => row.map(printable))
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('')
}

export function print(text: string): void {
  process.stdout.write(text)
}

/** For what is long: returns when there is room for more. */
export async function writeOut(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain')
}
