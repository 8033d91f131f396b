/**
 * Writes the pages that follow from tables, or with `--check` says which of them are stale.
 *
 * Owns the list of generated files and the pages on errors, endpoints, the API and metrics; those on settings and the schema
 * are rendered beside what they come from. Invariant: the same tables give the same bytes, on every machine.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { endpoints } from '../oci/endpoints.ts'
import { errorTable } from '../oci/errors.ts'
import { apiRoot } from '../server/api/operation.ts'
import { apiOperations } from '../server/api/operations.ts'
import { generator, renderConfigurationPage, renderSampleFile } from '../server/config/describe.ts'
import { metricTable } from '../server/metrics.ts'
import { renderSchemaFile } from '../storage/metadata/schema-file.ts'

/** Every generated file: its path in the repository and its content. */
export function renderDocuments(): ReadonlyMap<string, string> {
  return new Map([
    ['docs/configuration.md', renderConfigurationPage()],
    ['docs/errors.md', renderErrorsPage()],
    ['docs/endpoints.md', renderEndpointsPage()],
    ['docs/api.md', renderApiPage()],
    ['docs/metrics.md', renderMetricsPage()],
    ['deploy/lanyard.sample.yaml', renderSampleFile()],
    ['migrations/sqlite/schema.sql', renderSchemaFile(generator)],
  ])
}

/** The generated files below a folder whose content is not what the tables say. */
export async function findStale(folder: string): Promise<string[]> {
  const stale: string[] = []
  for (const [path, content] of renderDocuments()) {
    const present = await readFile(join(folder, path), 'utf8').catch(() => undefined)
    if (present !== content) stale.push(path)
  }
  return stale
}

/** Writes every generated file below a folder. */
export async function writeDocuments(folder: string): Promise<void> {
  for (const [path, content] of renderDocuments()) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), content)
  }
}

function renderErrorsPage(): string {
  const rows = Object.entries(errorTable).map(([reason, { code, status, message }]) => [
    `\`${reason}\``,
    `\`${code}\``,
    String(status),
    message,
  ])
  return page('oci/errors.ts', [
    '# Errors',
    '',
    'Every fault has a reason, which the log and `lanyard_errors_total` name. A client sees the code of the OCI distribution',
    'specification, the status and a message; under some reasons the message is finer than the one here.',
    '',
    ...table(['Reason', 'Code', 'Status', 'Message'], rows),
  ])
}

function renderEndpointsPage(): string {
  const rows = Object.values(endpoints).flatMap(({ path, specIds, methods }) =>
    Object.entries(methods).map(([method, { action, summary }]) => [method, `\`${path}\``, action, summary, specIds.join(', ')]),
  )
  return page('oci/endpoints.ts', [
    '# Endpoints',
    '',
    'The paths below `/v2/`. The right is what the caller must be allowed to do with the repository (or, for `catalog`, with the list',
    'of repositories); with `none` it is enough to be someone whom the registry answers. The last column holds the ids in the table of',
    'the OCI distribution specification 1.1.',
    '',
    ...table(['Method', 'Path', 'Right', 'What it does', 'Specification'], rows),
  ])
}

function renderApiPage(): string {
  const rows = apiOperations.map(({ method, path, right, summary, id }) => [
    method,
    `\`${apiRoot}${path}\``,
    right.text,
    summary,
    `\`${id}\``,
  ])
  return page('server/api/operations.ts', [
    '# HTTP API',
    '',
    'For scripts, the command line and whatever manages a registry from outside. A running registry describes it in full:',
    `\`${apiRoot}/docs\` for people, with an example of each call, and \`${apiRoot}/openapi.json\` for programs.`,
    '',
    '* Sign in with Basic (user name and password) or with a token as Bearer.',
    '* Names of repositories hold slashes: `team%2Fapp` in a path; where nothing follows, `team/app` will do.',
    '* Lists come in pages: `limit` (1 to 1000, 100 if not given) and `cursor`, the `next` of the page before; a Link header says the same.',
    '* What can be edited has an ETag. A change that sends it in If-Match is refused with 412 when somebody else was faster.',
    '* Bodies are JSON of at most 64 KiB, sent as `application/json`; members that an operation does not know are refused.',
    '* Errors are problem details (RFC 9457): `reason` is a row of [errors.md](errors.md), `errors` names each member that is wrong.',
    '* What the caller may not see is answered like what is not there. Times are ISO 8601 in UTC, sizes bytes.',
    '',
    ...table(['Method', 'Path', 'Needed', 'What it does', 'Operation'], rows),
  ])
}

function renderMetricsPage(): string {
  const rows = Object.values(metricTable).map(({ name, type, labels, help }) => [
    `\`${name}\``,
    type,
    labels.map((label) => `\`${label}\``).join(', '),
    help,
  ])
  return page('server/metrics.ts', [
    '# Metrics',
    '',
    '`/metrics` answers in the Prometheus text format, for administrators, for whoever holds `metrics.token`, or for anyone if',
    '`metrics.access` says so. The numbers are those of all worker processes together. Beside the ones below there are the usual',
    '`process_*` and `nodejs_*` metrics, measured from the first request for metrics on; `nodejs_eventloop_lag_*` is averaged over the',
    'workers, its `min` and `max` are those of the best and the worst.',
    '',
    ...table(['Name', 'Type', 'Labels', 'Meaning'], rows),
  ])
}

function page(source: string, lines: readonly string[]): string {
  return `<!-- Generated by "${generator}" from ${source}; do not edit here. -->\n${lines.join('\n')}\n`
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.map(escapeCell).join(' | ')} |`
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)]
}

/** Inside backquotes only the bar needs escaping; outside also what would begin an HTML tag. */
function escapeCell(text: string): string {
  const barred = text.replaceAll('|', '\\|')
  return text.startsWith('`') ? barred : barred.replaceAll('<', '&lt;')
}

async function main(): Promise<void> {
  const folder = join(import.meta.dirname, '..')
  if (!process.argv.includes('--check')) return writeDocuments(folder)
  const stale = await findStale(folder)
  if (stale.length === 0) return
  process.stderr.write(`stale: ${stale.join(', ')}\nrun "${generator}"\n`)
  process.exitCode = 1
}

if (import.meta.main) await main()
