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

/** Columns aligned, the first row the head. Cells may come from anywhere: nothing in them moves a cursor or turns the direction. */
export function formatTable(cells: readonly (readonly string[])[]): string {
  const rows = cells.map((row) => row.map(visible))
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

function visible(text: string): string {
  return text.replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`)
}

export function print(text: string): void {
  process.stdout.write(text)
}

/** For what is long: returns when there is room for more. */
export async function writeOut(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain')
}
