/**
 * The recorded session as it is stored and shown: docs/session.cast is what a terminal received, with times; the picture and
 * the transcript in README.md follow from it.
 */
import { renderScreen } from './terminal-screen.ts'

/** Source: the asciicast format, version 2. */
export interface Recording {
  readonly columns: number
  readonly rows: number
  readonly events: readonly { readonly seconds: number; readonly output: string }[]
}

export function formatCast({ columns, rows, events }: Recording): string {
  const header = { version: 2, width: columns, height: rows, idle_time_limit: 1, title: 'Lanyard: install, login, push, pull' }
  const lines = events.map(({ seconds, output }) => JSON.stringify([Number(seconds.toFixed(3)), 'o', output]))
  return `${[JSON.stringify(header), ...lines].join('\n')}\n`
}

/** @throws when the text is not what formatCast writes. */
export function parseCast(text: string): Recording {
  const [header = '', ...lines] = text.trimEnd().split('\n')
  const { width, height } = JSON.parse(header) as { width: number; height: number }
  const events = lines.map((line) => {
    const [seconds, kind, output] = JSON.parse(line) as [number, string, string]
    if (kind !== 'o') throw new Error(`an event of kind ${kind}`)
    return { seconds, output }
  })
  return { columns: width, rows: height, events }
}

/** What stood on the terminal, from the first line to the last. */
export function transcriptOf({ columns, rows, events }: Recording): string[] {
  return renderScreen(events.map(({ output }) => output).join(''), { columns, rows })
}

const lineHeight = 17
const characterWidth = 7.25
const padding = 16
const barHeight = 28

/** A picture of the transcript; commands are brighter than what they print. */
export function renderPicture(recording: Recording): string {
  const lines = transcriptOf(recording)
  const width = Math.ceil(recording.columns * characterWidth) + 2 * padding
  const height = lines.length * lineHeight + barHeight + 2 * padding
  const texts = lines.flatMap((line, index) => {
    if (line === '') return []
    const y = barHeight + padding + (index + 1) * lineHeight - 5
    return [`<text x="${padding}" y="${y}"${line.startsWith('$ ') ? ' class="command"' : ''}>${escapeXml(line)}</text>`]
  })
  const lights = ['#e0605a', '#e0b34f', '#5fb26a'].map(
    (fill, index) => `<circle cx="${padding + 4 + index * 18}" cy="16" r="5" fill="${fill}"/>`,
  )
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" xml:space="preserve">`,
    '<title>A terminal: npm ci, npm start, docker login, docker push, docker run</title>',
    '<style>text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#b8c0cc;white-space:pre}.command{fill:#fff}</style>',
    `<rect width="${width}" height="${height}" rx="8" fill="#1c2128"/>`,
    ...lights,
    ...texts,
    '</svg>',
    '',
  ].join('\n')
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

const before = '<!-- session: what docs/session.cast shows, by "node test/docs/record-session.ts" -->\n```console\n'
const after = '\n```\n'

/** README.md with the transcript in its place. @throws when it has no place for one. */
export function withTranscript(readme: string, transcript: readonly string[]): string {
  const start = readme.indexOf(before)
  const end = readme.indexOf(after, start + before.length - 1)
  if (start === -1 || end === -1) throw new Error('README.md has no place for the session')
  return `${readme.slice(0, start + before.length)}${transcript.join('\n')}${readme.slice(end)}`
}
