/**
 * A thin client of the API of a running registry, for commands that are given `--server`.
 *
 * Knows no operation: what is called is a row of the table that the server has. Invariant: credentials go to the address that was
 * named and nowhere else, because no redirect is followed.
 */
import { apiRoot, type Got, type Operation, type Schema, type Sent, type Shape } from '../server/api/operation.ts'
import { CommandError } from './terminal.ts'

/** Something that performs operations: a server far away, or the data folder. */
export interface Api {
  call<P extends Shape, Q extends Shape, B extends Schema, A extends Schema>(
    operation: Operation<P, Q, B, A>,
    sent?: Sent<P, Q, B>,
  ): Promise<Got<A>>
}

/** How long a server may take for one answer. */
const patienceMs = 60_000

export class RemoteApi implements Api {
  readonly #server: URL
  readonly #authorization: string | undefined

  /**
   * @param server where the registry is: `https://registry.example.com`
   * @param authorization what stands in the header of that name
   * @throws {CommandError} the address is none
   */
  constructor(server: string, authorization: string | undefined) {
    this.#server = parseServer(server)
    this.#authorization = authorization
  }

  /** @throws {CommandError} the server cannot be reached, or refuses: with its words */
  async call<P extends Shape, Q extends Shape, B extends Schema, A extends Schema>(
    operation: Operation<P, Q, B, A>,
    sent: Sent<P, Q, B> = {},
  ): Promise<Got<A>> {
    const response = await this.#send(operation.method, pathOf(operation.path, sent), sent.body)
    if (!response.ok) throw await refusal(response, this.#server)
    return (response.status === 204 ? undefined : await response.json()) as Got<A>
  }

  async #send(method: string, path: string, body: unknown): Promise<Response> {
    try {
      return await fetch(new URL(path, this.#server), {
        method,
        headers: {
          Accept: 'application/json',
          ...(this.#authorization === undefined ? {} : { Authorization: this.#authorization }),
          ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        },
        redirect: 'manual',
        signal: AbortSignal.timeout(patienceMs),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
    } catch (error) {
      throw new CommandError(`${this.#server.origin} cannot be reached: ${reasonOf(error)}`)
    }
  }
}

/** Every entry of a list, page after page. */
export async function* allItems<P extends Shape, Q extends Shape, B extends Schema, A extends Schema>(
  api: Api,
  operation: Operation<P, Q, B, A>,
  sent: Sent<P, Q, B> = {},
): AsyncGenerator<ItemOf<Got<A>>> {
  const page = { limit: '1000', ...sent.query }
  for (let cursor: string | undefined; ;) {
    const query = cursor === undefined ? page : { ...page, cursor }
    const { items, next } = (await api.call(operation, { ...sent, query })) as PageOf<ItemOf<Got<A>>>
    yield* items
    if (next === null) return
    cursor = next
  }
}

interface PageOf<T> {
  readonly items: readonly T[]
  readonly next: string | null
}
type ItemOf<Page> = Page extends { readonly items: readonly (infer Item)[] } ? Item : never

function parseServer(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const isServer =
    url !== undefined && (url.protocol === 'https:' || url.protocol === 'http:') && url.username === '' && url.pathname === '/'
  if (!isServer) throw new CommandError(`--server is an address such as https://registry.example.com, not "${text}"`)
  return url
}

function pathOf(template: string, { path = {}, query = {} }: { path?: object; query?: object }): string {
  const values: Readonly<Record<string, string>> = { ...path }
  const filled = template.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(values[name] ?? ''))
  const pairs = Object.entries<string | undefined>({ ...query }).filter((pair): pair is [string, string] => pair[1] !== undefined)
  return `${apiRoot}${filled}${pairs.length === 0 ? '' : `?${new URLSearchParams(pairs).toString()}`}`
}

async function refusal(response: Response, server: URL): Promise<CommandError> {
  const problem: unknown = await response.json().catch(() => undefined)
  const isProblem = typeof problem === 'object' && problem !== null && 'detail' in problem && typeof problem.detail === 'string'
  if (isProblem) return new CommandError(String(problem.detail))
  return new CommandError(`${server.origin} answered ${response.status}, which is no answer of a Lanyard registry`)
}

/** What fetch says is that it failed; why stands below. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error
  return cause instanceof Error ? cause.message || cause.name : String(cause)
}
