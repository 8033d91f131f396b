/** Reads Prometheus text as strictly as a test needs: every line is a comment or one sample. */
import { expectStatus, type Client } from './client.ts'

/** Samples by name and labels as written: `lanyard_logins_total{outcome="refused"}`. */
export type Samples = ReadonlyMap<string, number>

/** @throws when a line is neither a comment nor a sample, or a sample comes twice. */
export function parseSamples(text: string): Samples {
  const samples = new Map<string, number>()
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue
    const [, name = '', value = ''] = /^([a-z_]\w*(?:\{[^{}]*\})?) (\S+)$/i.exec(line) ?? []
    if (name === '' || Number.isNaN(Number(value)) || samples.has(name)) throw new Error(`not a sample, or there twice: ${line}`)
    samples.set(name, Number(value))
  }
  return samples
}

export async function readMetrics(client: Client): Promise<Samples> {
  const answer = await expectStatus(await client.call('GET', '/metrics'), 200)
  return parseSamples(answer.bytes.toString('utf8'))
}

/** The samples of one metric by the values of their labels, joined with a blank. */
export function samplesOf(samples: Samples, name: string): Record<string, number> {
  const found: Record<string, number> = {}
  for (const [sample, value] of samples) {
    const [, of, labels = ''] = /^(\w+)(?:\{(.*)\})?$/.exec(sample) ?? []
    if (of === name) found[[...labels.matchAll(/="([^"]*)"/g)].map((match) => match[1]).join(' ')] = value
  }
  return found
}
