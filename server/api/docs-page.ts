/**
 * The API for people: one static page, made from the OpenAPI document. No script, nothing from elsewhere; it follows the reader's choice
 * of light or dark and fits a phone.
 */
import { apiRoot, type Operation } from './operation.ts'
import type { JsonObject, OpenApiDocument, OpenApiOperation } from './openapi.ts'

export const docsStyle = `:root{color-scheme:light dark;--line:color-mix(in srgb,currentColor 20%,transparent);--soft:color-mix(in srgb,currentColor 7%,transparent)}
body{font:16px/1.55 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1rem}
h1{font-size:1.6rem}h2{border-bottom:1px solid var(--line);font-size:1.25rem;margin-top:2.5rem}
h3{font-size:1rem;margin:0}section{border:1px solid var(--line);border-radius:.5rem;margin:1rem 0;padding:.8rem 1rem}
code,pre{font:.875rem/1.45 ui-monospace,monospace}pre{background:var(--soft);border-radius:.35rem;overflow-x:auto;padding:.6rem}
h3 code{overflow-wrap:anywhere}table{border-collapse:collapse;width:100%}
td,th{border-top:1px solid var(--line);padding:.3rem .6rem .3rem 0;text-align:left;vertical-align:top}td{overflow-wrap:anywhere}
nav ul{padding-left:1.2rem}a{color:inherit}details{margin-top:.5rem}`

/** @param operations the table that the document was made from, for its examples */
export function renderDocsPage(document: OpenApiDocument, operations: readonly Operation[]): string {
  const examples = new Map(operations.map((operation) => [operation.id, exampleOf(operation)]))
  const all = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  )
  const groups = document.tags.map(({ name }) => {
    const inGroup = all.filter(({ operation }) => operation.tags.includes(name))
    return `<h2 id="${escape(name)}">${escape(name)}</h2>\n${inGroup.map((each) => section(each, examples.get(each.operation.operationId) ?? '')).join('\n')}`
  })
  const links = document.tags.map(({ name }) => `<li><a href="#${escape(name)}">${escape(name)}</a></li>`).join('')
  const schemas = Object.entries(document.components.schemas).map(
    ([name, schema]) => `<section id="schema-${escape(name)}"><h3><code>${escape(name)}</code></h3>${properties(schema)}</section>`,
  )
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(document.info.title)} API</title>
<style>${docsStyle}</style>
</head>
<body>
<h1>${escape(document.info.title)} API</h1>
${paragraphs(document.info.description)}
<p>For programs: <a href="${apiRoot}/openapi.json">${apiRoot}/openapi.json</a>.</p>
<nav><ul>${links}<li><a href="#schemas">schemas</a></li></ul></nav>
${groups.join('\n')}
<h2 id="schemas">schemas</h2>
${schemas.join('\n')}
</body>
</html>
`
}

interface Shown {
  readonly path: string
  readonly method: string
  readonly operation: OpenApiOperation
}

function section({ path, method, operation }: Shown, example: string): string {
  return `<section id="${escape(operation.operationId)}">
<h3><code>${method} ${escape(path)}</code></h3>
<p>${escape(operation.summary)}. ${inline(operation.description)}</p>
${parameterTable(operation)}
${body(operation)}
<pre><code>${escape(example)}</code></pre>
${answers(operation)}
</section>`
}

function parameterTable({ parameters }: OpenApiOperation): string {
  if (parameters.length === 0) return ''
  const rows = parameters.map(
    ({ name, in: where, required, description = '', schema }) =>
      `<tr><td><code>${escape(name)}</code></td><td>${where}${required ? '' : ', optional'}</td><td>${typeText(schema)}</td><td>${inline(description)}</td></tr>`,
  )
  return `<table><tr><th>Parameter</th><th>In</th><th>Type</th><th></th></tr>${rows.join('')}</table>`
}

function body({ requestBody }: OpenApiOperation): string {
  const schema = requestBody?.content['application/json']?.schema
  return schema ? `<p>Body: ${typeText(schema)} as <code>application/json</code>.</p>` : ''
}

function answers({ responses }: OpenApiOperation): string {
  const rows = Object.entries(responses).map(([status, { description, content = {} }]) => {
    const types = Object.values(content).map(({ schema }) => typeText(schema))
    return `<tr><td>${status}</td><td>${types.join(', ')}</td><td>${inline(description)}</td></tr>`
  })
  return `<details><summary>Answers</summary><table>${rows.join('')}</table></details>`
}

/** A type in few words; a named one leads to its section. */
function typeText(schema: JsonObject): string {
  const { $ref, type, items, anyOf } = schema
  if (typeof $ref === 'string') {
    const name = escape($ref.slice($ref.lastIndexOf('/') + 1))
    return `<a href="#schema-${name}"><code>${name}</code></a>`
  }
  if (Array.isArray(anyOf)) return anyOf.map((each) => typeText(each as JsonObject)).join(' or ')
  if (Array.isArray(schema['enum']))
    return (schema['enum'] as unknown[]).length > 8
      ? 'one of many'
      : (schema['enum'] as string[]).map((each) => `<code>${escape(each)}</code>`).join(', ')
  if (type === 'array' && typeof items === 'object' && items !== null) return `list of ${typeText(items as JsonObject)}`
  return escape([type].flat().join(' or '))
}

function properties(schema: JsonObject): string {
  const { properties = {}, required = [] } = schema as { properties?: Record<string, JsonObject>; required?: string[] }
  if (Object.keys(properties).length === 0) return `<p>${typeText(schema)}</p>`
  const rows = Object.entries(properties).map(([name, member]) => {
    const text = typeof member['description'] === 'string' ? member['description'] : ''
    return `<tr><td><code>${escape(name)}</code></td><td>${typeText(member)}${required.includes(name) ? '' : ', optional'}</td><td>${inline(text)}</td></tr>`
  })
  return `<table>${rows.join('')}</table>`
}

/** How to call an operation from a shell. */
function exampleOf({ method, path, example = {} }: Operation): string {
  const filled = path.replaceAll(/\{(\w+)\}/g, (whole, name: string) => example.path?.[name] ?? whole)
  const query = example.query ? `?${new URLSearchParams(example.query).toString()}` : ''
  const verb = method === 'GET' ? '' : `-X ${method} `
  const data = example.body === undefined ? '' : ` -H 'Content-Type: application/json' -d '${JSON.stringify(example.body)}'`
  const url = `https://registry.example.com${apiRoot}${filled}${query}`
  // A shell takes a bare question mark for a pattern of file names.
  return `curl -u alice ${verb}${query === '' ? url : `'${url}'`}${data}`
}

function paragraphs(text: string): string {
  return text
    .split('\n\n')
    .map((paragraph) => `<p>${inline(paragraph)}</p>`)
    .join('\n')
}

/** What stands in backquotes becomes code; nothing else is read. */
function inline(text: string): string {
  return escape(text).replaceAll(/`([^`]+)`/g, '<code>$1</code>')
}

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

function escape(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => entities[character] ?? character)
}
