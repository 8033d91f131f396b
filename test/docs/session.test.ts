/**
 * The session in the README is the recorded one: nobody has edited what a terminal did not show.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readPage } from './markdown.ts'
import { formatCast, parseCast, renderPicture, transcriptOf, withTranscript } from './session.ts'
import { renderScreen } from './terminal-screen.ts'

const size = { columns: 20, rows: 4 }

const screens: [rule: string, output: string, lines: string[]][] = [
  ['lines are lines', 'one\r\ntwo\r\n', ['one', 'two']],
  ['a carriage return overwrites from the start', 'abcdef\rxy', ['xycdef']],
  ['a backspace goes back', 'ab\bc', ['ac']],
  ['what is too long goes on in the next line', 'x'.repeat(25), ['x'.repeat(20), 'x'.repeat(5)]],
  [
    'the cursor goes up, the line is erased and written anew',
    'one: 10%\r\ntwo\r\n\x1b[2A\x1b[2K\rone: done\x1b[2B\rend',
    ['one: done', 'two', 'end'],
  ],
  ['the cursor does not go up beyond the screen', `${'l\r\n'.repeat(6)}\x1b[9A!`, ['l', 'l', 'l', '!', 'l', 'l']],
  ['erasing to the end of the line keeps its start', 'abcdef\x1b[3D\x1b[K', ['abc']],
  ['erasing to the end of the screen takes the lines below', 'a\r\nb\r\nc\x1b[2A\r\x1b[J', []],
  ['colours, modes and titles show nothing', '\x1b[1;31mred\x1b[0m\x1b[?2004h\x1b]0;title\x07!', ['red!']],
]

for (const [rule, output, lines] of screens) {
  test(`the screen that renders the session: ${rule}`, () => assert.deepEqual(renderScreen(output, size), lines))
}

test('a recording is read as it was written', () => {
  const recording = { columns: 80, rows: 24, events: [{ seconds: 0.5, output: '$ \r\n' }] }
  assert.deepEqual(parseCast(formatCast(recording)), recording)
})

test('the README shows the recorded session, and the picture is made of it', () => {
  const recording = parseCast(readPage('docs/session.cast').text)
  const readme = readPage('README.md').text
  assert.equal(withTranscript(readme, transcriptOf(recording)), readme)
  assert.equal(renderPicture(recording), readPage('docs/session.svg').text)
})

test('the recorded session is the one of the README: both commands, login, push, and a run of what was pulled', () => {
  const transcript = transcriptOf(parseCast(readPage('docs/session.cast').text)).join('\n')
  const steps = [
    '$ npm ci',
    '$ npm start',
    'password',
    '$ docker login localhost:5000',
    'Login Succeeded',
    '$ docker push',
    'digest: sha256:',
    '$ docker run',
  ]
  let at = -1
  for (const step of steps) {
    const next = transcript.indexOf(step, at + 1)
    assert.ok(next > at, `${step} is missing or out of order`)
    at = next
  }
})
