/**
 * `node test/docs/record-session.ts`: types the first steps of README.md into a real shell and records what its terminal
 * receives. Writes docs/session.cast, docs/session.svg and the transcript in README.md.
 *
 * Run it in a fresh clone on a Linux machine with `script` (util-linux), a docker engine, an image called "hello", nothing on
 * port 5000, and a HOME whose path may be shown. With `--render` it only makes picture and transcript anew from the recording.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { formatCast, parseCast, type Recording, renderPicture, transcriptOf, withTranscript } from './session.ts'

const size = { columns: 112, rows: 30 }
const cast = 'docs/session.cast'
const picture = 'docs/session.svg'
const prompt = '$ '
const keyMs = 25
const patienceMs = 120_000

class Shell {
  readonly #process: ChildProcessWithoutNullStreams
  readonly #events: { seconds: number; output: string }[] = []
  #startedMs = performance.now()
  #isRecording = false
  /** Since the last key was pressed. */
  #seen = ''

  constructor() {
    const env = { ...process.env, TERM: 'xterm', NO_COLOR: '1', HISTFILE: '', npm_config_progress: 'false' }
    this.#process = spawn('script', ['--quiet', '--return', '--command', 'bash --norc --noprofile', '/dev/null'], { env })
    this.#process.stdout.setEncoding('utf8').on('data', (output: string) => this.#receive(output))
  }

  /** Sets the terminal up; nothing of it is in the recording. */
  async prepare(): Promise<void> {
    await this.until((seen) => /[#$] $/.test(seen))
    await this.run(`stty cols ${size.columns} rows ${size.rows}; bind 'set enable-bracketed-paste off'; PS1='${prompt}'`)
    this.#isRecording = true
    this.#startedMs = performance.now()
    this.#receive(prompt)
  }

  /** Types a command and waits for the prompt. */
  async run(command: string): Promise<void> {
    await this.type(command)
    await this.until((seen) => seen.endsWith(prompt))
    await pause(400)
  }

  async type(text: string): Promise<void> {
    for (const key of text) {
      this.#process.stdin.write(key)
      await pause(keyMs)
    }
    this.#seen = ''
    this.#process.stdin.write('\r')
  }

  async until(isReached: (seen: string) => boolean): Promise<void> {
    const deadline = performance.now() + patienceMs
    while (!isReached(this.#seen)) {
      if (performance.now() > deadline) throw new Error(`nothing more came after: ${JSON.stringify(this.#seen)}`)
      await pause(20)
    }
  }

  async end(): Promise<Recording> {
    this.#isRecording = false
    this.#events.push({ seconds: (this.#events.at(-1)?.seconds ?? 0) + 3, output: '\r\x1b[K' })
    await this.type('kill %1; wait; exit')
    await new Promise((resolve) => this.#process.once('close', resolve))
    return { ...size, events: this.#events }
  }

  #receive(output: string): void {
    this.#seen += output
    if (this.#isRecording) this.#events.push({ seconds: (performance.now() - this.#startedMs) / 1000, output })
  }
}

async function record(): Promise<Recording> {
  if (existsSync('data')) throw new Error('there is a data folder: record in a fresh clone')
  const shell = new Shell()
  await shell.prepare()
  await shell.run('npm ci')
  await shell.run('npm start > registry.log 2>&1 &')
  await untilTrue(() => readFileSync('registry.log', 'utf8').includes('docker push'))
  await shell.run('cat registry.log')
  const password = /password {2}(\S+)/.exec(readFileSync('registry.log', 'utf8'))?.[1] ?? ''
  await shell.type('docker login localhost:5000 --username admin')
  await shell.until((seen) => seen.includes('Password: '))
  await shell.run(password)
  await shell.run('docker tag hello localhost:5000/admin/hello')
  await shell.run('docker push localhost:5000/admin/hello')
  await shell.run('docker rmi hello localhost:5000/admin/hello')
  await shell.run('docker run --rm --network none localhost:5000/admin/hello')
  await shell.run('npm run lanyard -- repo list')
  return shell.end()
}

async function untilTrue(isReached: () => boolean): Promise<void> {
  const deadline = performance.now() + patienceMs
  while (!isReached()) {
    if (performance.now() > deadline) throw new Error('the registry did not start')
    await pause(50)
  }
}

function write(recording: Recording): void {
  writeFileSync(picture, renderPicture(recording))
  writeFileSync('README.md', withTranscript(readFileSync('README.md', 'utf8'), transcriptOf(recording)))
}

if (!process.argv.includes('--render')) writeFileSync(cast, formatCast(await record()))
write(parseCast(readFileSync(cast, 'utf8')))
