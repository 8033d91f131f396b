/**
 * Lists in pages, by key: `limit` and an opaque `cursor` in the query, `items` and `next` in the answer. A page costs what it holds,
 * and what is added or removed meanwhile neither repeats nor hides anything else.
 */
import { z } from 'zod'

const maxLimit = 1000
const defaultLimit = 100

/** The key of the last entry of a page: texts and whole numbers, as its list orders them. */
export type Key = readonly (string | number)[]

/**
 * The query of a list, beside its filters.
 * @param kinds what the list's key consists of
 */
export function pageQuery<const K extends readonly ('text' | 'number')[]>(kinds: K) {
  type Keys = { readonly [I in keyof K]: K[I] extends 'text' ? string : number }
  return {
    limit: wholeNumber({ min: 1, max: maxLimit })
      .optional()
      .transform((limit) => limit ?? defaultLimit)
      .meta({ description: 'The most entries in the answer.', default: defaultLimit }),
    cursor: z
      .string()
      .max(1024)
      .meta({ description: 'Where to go on: `next` of the page before. Its form may change: do not make one.' })
      .transform((text, context): Keys => {
        const key = parseCursor(text, kinds)
        if (key) return key as unknown as Keys
        context.addIssue({ code: 'custom', message: 'not a cursor of this list: take `next` of the page before' })
        return z.NEVER
      })
      .optional(),
  }
}

/** The answer of a list. @param id the name of this kind of page in the OpenAPI document */
export function pageOf<T extends z.ZodType>(id: string, item: T) {
  return z
    .strictObject({
      items: z.array(item),
      next: z.string().nullable().meta({ description: 'The cursor of the next page; null when this is the last.' }),
    })
    .meta({ id })
}

/** @param keyOf the key of an entry, of the kinds that the list's pageQuery names */
export function pageBody<Row, T>(
  { items, hasMore }: { readonly items: readonly Row[]; readonly hasMore: boolean },
  { itemOf, keyOf }: { itemOf: (row: Row) => T; keyOf: (row: Row) => Key },
): { items: T[]; next: string | null } {
  const last = items.at(-1)
  return { items: items.map(itemOf), next: hasMore && last !== undefined ? formatCursor(keyOf(last)) : null }
}

/** The key as an opaque text that needs no escaping in a query. */
export function formatCursor(key: Key): string {
  return Buffer.from(JSON.stringify(key)).toString('base64url')
}

/** The key that a cursor holds; undefined when it is not one of these kinds. */
export function parseCursor(text: string, kinds: readonly ('text' | 'number')[]): Key | undefined {
  const value = parseJson(Buffer.from(text, 'base64url').toString('utf8'))
  if (!Array.isArray(value) || value.length !== kinds.length) return undefined
  const fits = value.every((part, index) => (kinds[index] === 'text' ? typeof part === 'string' : Number.isSafeInteger(part)))
  return fits ? (value as Key) : undefined
}

/** A whole number in a query, written in decimal digits. */
export function wholeNumber({ min, max }: { min: number; max: number }) {
  return z.preprocess(
    (value) => (typeof value === 'string' && /^[0-9]{1,15}$/.test(value) ? Number(value) : value),
    z.int({ error: 'not a whole number' }).min(min).max(max),
  )
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
