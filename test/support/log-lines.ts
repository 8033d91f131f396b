/** A logger whose lines a test can read and wait for. */
import { createLogger, type Logger } from '../../server/log.ts'

export type LogLine = Readonly<Record<string, unknown>>

const deadlineMs = 20_000

export class LogLines {
  readonly lines: LogLine[] = []
  readonly logger: Logger
  readonly #waiting = new Set<() => void>()

  constructor(level: 'debug' | 'info' = 'info') {
    const write = (text: string): void => {
      this.lines.push(JSON.parse(text) as LogLine)
      for (const look of this.#waiting) look()
    }
    this.logger = createLogger({ level, format: 'json', requests: true }, { isTerminal: false, destination: { write } })
  }

  /** The first line that fits, now or as soon as it is written. @throws when none is before the deadline. */
  async find(what: string, fits: (line: LogLine) => boolean): Promise<LogLine> {
    const { promise, resolve, reject } = Promise.withResolvers<LogLine>()
    const look = (): void => {
      const line = this.lines.find(fits)
      if (line) resolve(line)
    }
    const timer = setTimeout(() => reject(new Error(`no line of the log ${what}`)), deadlineMs)
    this.#waiting.add(look)
    look()
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      this.#waiting.delete(look)
    }
  }
}
