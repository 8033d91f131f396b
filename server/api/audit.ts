/**
 * The audit log, for administrators: what was done, tried and refused.
 */
import { z } from 'zod'
import { auditActions } from '../../registry/audit.ts'
import { parseAuditFilter, readAudit, type AuditEntry } from '../../registry/read-audit.ts'
import { time } from './fields.ts'
import { operation } from './operation.ts'
import { formatCursor, pageOf, pageQuery } from './page.ts'
import { administration } from './right.ts'

const names = Object.keys(auditActions) as (keyof typeof auditActions)[]
const text = z.string().max(512)
const moment = z.string().meta({ description: 'A day or a moment in ISO 8601.', examples: ['2026-11-25T08:30:00Z'] })
const factual = z.union([z.string(), z.number(), z.boolean(), z.null(), z.array(z.string())])

const eventSchema = z
  .strictObject({
    id: z.int(),
    at: time,
    actor: z.string().nullable().meta({ description: 'The account; on the command line the user of the system; null for nobody.' }),
    via: z.string().meta({ description: 'How the actor showed who it is.', examples: ['password'] }),
    address: z.string().nullable().meta({ description: "The client's; null where there is none." }),
    action: z.string().meta({ examples: ['push'] }),
    target: z.string().meta({ description: 'To what it was done.', examples: ['team/app'] }),
    detail: z.record(z.string(), factual).meta({ description: 'What else is worth knowing of this action.' }),
    outcome: z.enum(['ok', 'denied', 'failed']),
    requestId: z.string().nullable(),
  })
  .meta({ id: 'AuditEvent' })

export const listAuditEvents = operation({
  id: 'listAuditEvents',
  method: 'GET',
  path: '/audit',
  tag: 'audit',
  summary: 'List what was done, tried and refused',
  description:
    'The newest first unless `order` says otherwise. A page may hold fewer events than `limit`, or none, and still have a `next`: it looks at no more than its share of the log.',
  right: administration,
  query: {
    ...pageQuery(['number', 'number']),
    actor: text.meta({ description: 'Only what this account did.' }).optional(),
    action: z.enum(names).optional(),
    target: text.meta({ description: 'Only what was done to this; with `*` at its end, to what begins so.' }).optional(),
    outcome: eventSchema.shape.outcome.optional(),
    from: moment.optional(),
    to: moment.optional(),
    order: z.enum(['newest', 'oldest']).meta({ description: 'Which end comes first.' }).optional(),
  },
  answer: { status: 200, description: 'A page of events.', schema: pageOf('AuditPage', eventSchema) },
  errors: ['parameterInvalid'],
  handle: async ({ services, query: { cursor, limit, order, ...question } }) => {
    const [atMs, id] = cursor ?? []
    const after = atMs === undefined || id === undefined ? undefined : { atMs, id }
    const filter = parseAuditFilter(question)
    const { entries, next } = await readAudit(services.registry.database, { filter, after, limit, order: order ?? 'newest' })
    return { body: { items: entries.map(describe), next: next === undefined ? null : formatCursor([next.atMs, next.id]) } }
  },
})

function describe({ detail, ...entry }: AuditEntry) {
  return { ...entry, detail: detail as z.input<typeof eventSchema>['detail'] }
}
