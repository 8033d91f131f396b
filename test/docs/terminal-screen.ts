/**
 * What a terminal shows after a program's output: as much of one as docker's progress bars, npm and a shell need. Lines that
 * scroll out at the top stay, because a transcript wants them.
 */

export interface ScreenSize {
  readonly columns: number
  readonly rows: number
}

// eslint-disable-next-line no-control-regex -- a terminal's language is control characters
const sequence = /\x1b\[(?<parameters>[0-9;?]*)[ -/]*(?<final>[@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]|[\s\S]/gu

/** The lines, without blanks at their ends and without empty lines at the bottom. Colours are not kept. */
export function renderScreen(output: string, size: ScreenSize): string[] {
  const screen = new Screen(size)
  for (const { 0: text, groups } of output.matchAll(sequence)) {
    if (groups?.['final'] !== undefined) screen.control(groups['final'], groups['parameters'] ?? '')
    else if (!text.startsWith('\x1b')) screen.write(text)
  }
  return screen.lines()
}

class Screen {
  readonly #size: ScreenSize
  readonly #lines: string[][] = [[]]
  #row = 0
  #column = 0

  constructor(size: ScreenSize) {
    this.#size = size
  }

  write(character: string): void {
    if (character === '\n') return this.#moveTo(this.#row + 1)
    if (character === '\r') return void (this.#column = 0)
    if (character === '\b') return void (this.#column = Math.max(0, this.#column - 1))
    if (character < ' ') return
    if (this.#column >= this.#size.columns) {
      this.#column = 0
      this.#moveTo(this.#row + 1)
    }
    const line = this.#line()
    while (line.length < this.#column) line.push(' ')
    line[this.#column++] = character
  }

  /** Source: ECMA-48, the cursor and erase functions. */
  control(final: string, parameters: string): void {
    const count = Math.max(1, Number.parseInt(parameters, 10) || 0)
    const isPrivate = parameters.startsWith('?')
    if (isPrivate) return
    switch (final) {
      case 'A':
        return this.#moveTo(Math.max(this.#top(), this.#row - count))
      case 'B':
        return this.#moveTo(Math.min(this.#top() + this.#size.rows - 1, this.#row + count))
      case 'C':
        return void (this.#column = Math.min(this.#size.columns - 1, this.#column + count))
      case 'D':
        return void (this.#column = Math.max(0, this.#column - count))
      case 'G':
        return void (this.#column = count - 1)
      case 'J':
        this.#line().splice(this.#column)
        return void this.#lines.splice(this.#row + 1)
      case 'K':
        return this.#eraseLine(parameters)
      default:
    }
  }

  lines(): string[] {
    const lines = this.#lines.map((line) => line.join('').trimEnd())
    while (lines.at(-1) === '') lines.pop()
    return lines
  }

  #eraseLine(parameters: string): void {
    if (parameters === '2') this.#line().splice(0)
    else if (parameters === '1') this.#line().fill(' ', 0, this.#column + 1)
    else this.#line().splice(this.#column)
  }

  /** The first line that a cursor can still reach. */
  #top(): number {
    return Math.max(0, this.#lines.length - this.#size.rows)
  }

  #moveTo(row: number): void {
    while (this.#lines.length <= row) this.#lines.push([])
    this.#row = row
  }

  #line(): string[] {
    return (this.#lines[this.#row] ??= [])
  }
}
