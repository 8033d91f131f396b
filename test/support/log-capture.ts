/** A log that a test can read: real lines, as the objects they are. */
import { defaultSettings, type Settings } from '../../server/config/settings.ts'
import { createLogger, type Logger } from '../../server/log.ts'

export type LogLine = Readonly<Record<string, unknown>>

export interface LogCapture {
  readonly log: Logger
  /** Everything that was written, as it was written. */
  readonly text: () => string
  readonly lines: () => readonly LogLine[]
}

export function captureLog(level: Settings['log']['level'] = 'info'): LogCapture {
  const written: string[] = []
  const settings = defaultSettings({ 'log.format': 'json', 'log.level': level }).log
  return {
    log: createLogger(settings, { isTerminal: false, destination: { write: (line) => void written.push(line) } }),
    text: () => written.join(''),
    lines: () => written.map((line) => JSON.parse(line) as LogLine),
  }
}
