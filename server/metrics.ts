/**
 * What the server counts about itself: one table of metrics, recorders that are cheap enough for every request, and the
 * sum over all processes.
 *
 * Does not decide who may read them. Invariant: a label's value is one of a list known in advance, never a client's text.
 */
import { AggregatorRegistry, collectDefaultMetrics, Counter, Gauge, Histogram, prometheusContentType, Registry } from 'prom-client'

interface MetricRow {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly labels: readonly string[]
  readonly help: string
  /** Upper bounds, in the unit of the name. */
  readonly buckets?: readonly number[]
  /** How the processes' values become one; sum unless it says otherwise. */
  readonly aggregator?: 'sum' | 'max'
}

export const metricTable = {
  requests: {
    name: 'lanyard_http_requests_total',
    type: 'counter',
    labels: ['endpoint', 'method', 'status'],
    help: 'Requests answered.',
  },
  durations: {
    name: 'lanyard_http_request_duration_seconds',
    type: 'histogram',
    labels: ['endpoint', 'method'],
    help: 'Time from the first byte of a request to the last byte of its answer.',
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120, 600],
  },
  receivedBytes: { name: 'lanyard_http_received_bytes_total', type: 'counter', labels: [], help: 'Bytes received from clients.' },
  sentBytes: { name: 'lanyard_http_sent_bytes_total', type: 'counter', labels: [], help: 'Bytes sent to clients.' },
  uploadsActive: {
    name: 'lanyard_uploads_active',
    type: 'gauge',
    labels: [],
    help: 'Requests that are sending the bytes of a blob right now.',
  },
  uploadsFinished: {
    name: 'lanyard_uploads_finished_total',
    type: 'counter',
    labels: ['outcome'],
    help: 'Uploads that ended: stored, mounted, cancelled, expired, or failed (another digest than announced, or the disk could not take them).',
  },
  blobs: {
    name: 'lanyard_blobs_stored',
    type: 'gauge',
    labels: [],
    help: 'Blobs in the store, each counted once however many repositories hold it.',
    aggregator: 'max',
  },
  blobBytes: { name: 'lanyard_blob_bytes_stored', type: 'gauge', labels: [], help: 'Bytes of the blobs in the store.', aggregator: 'max' },
  linkedBytes: {
    name: 'lanyard_blob_bytes_linked',
    type: 'gauge',
    labels: [],
    help: 'Bytes of the blobs as often as repositories hold them, those in the trash too: what they would take without sharing.',
    aggregator: 'max',
  },
  errors: {
    name: 'lanyard_errors_total',
    type: 'counter',
    labels: ['reason'],
    help: 'Faults answered, by reason; docs/errors.md lists them.',
  },
  logins: {
    name: 'lanyard_logins_total',
    type: 'counter',
    labels: ['outcome'],
    help: 'Passwords checked: accepted, refused, or turned away busy.',
  },
  auditEvents: {
    name: 'lanyard_audit_events_total',
    type: 'counter',
    labels: ['outcome'],
    help: 'Events written to the audit log: ok, denied, or failed.',
  },
  auditDropped: {
    name: 'lanyard_audit_dropped_total',
    type: 'counter',
    labels: [],
    help: 'Events of the audit log that were lost because they could not be written in time.',
  },
  collectedBlobs: {
    name: 'lanyard_collected_blobs_total',
    type: 'counter',
    labels: [],
    help: 'Blobs that were removed because no repository needed them any more.',
  },
  collectedBytes: {
    name: 'lanyard_collected_bytes_total',
    type: 'counter',
    labels: [],
    help: 'Bytes that the file system got back from them.',
  },
  collectionSteps: {
    name: 'lanyard_collection_step_seconds',
    type: 'histogram',
    labels: [],
    help: 'Time that a step of the collector took; others wait for at most a part of it.',
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5],
  },
  scrubBytes: {
    name: 'lanyard_scrub_read_bytes_total',
    type: 'counter',
    labels: [],
    help: 'Bytes that were read again to find damage.',
  },
  damage: {
    name: 'lanyard_damage_total',
    type: 'counter',
    labels: ['event'],
    help: 'Blobs and manifests that were found damaged, by a scrub or by a pull, and that were healed.',
  },
  damaged: {
    name: 'lanyard_damaged',
    type: 'gauge',
    labels: [],
    help: 'Whether anything is damaged and waits to be pushed again: 1 or 0.',
    aggregator: 'max',
  },
  scrubFinished: {
    name: 'lanyard_scrub_finished_timestamp_seconds',
    type: 'gauge',
    labels: [],
    help: 'When the last scrub came to its end; 0: none has.',
    aggregator: 'max',
  },
  workerRestarts: {
    name: 'lanyard_worker_restarts_total',
    type: 'counter',
    labels: [],
    help: 'Worker processes that died and were replaced.',
  },
} as const satisfies Record<string, MetricRow>

const uploadOutcomes = ['stored', 'mounted', 'cancelled', 'expired', 'failed'] as const
const loginOutcomes = ['accepted', 'refused', 'busy'] as const

const damageEvents = ['found', 'healed'] as const

const auditOutcomes = ['ok', 'denied', 'failed'] as const

/** How an upload ended. */
export type UploadOutcome = (typeof uploadOutcomes)[number]

/** How a login ended; `busy` was turned away before its password was checked. */
export type LoginOutcome = (typeof loginOutcomes)[number]

/** What became known of something stored. */
export type DamageEvent = (typeof damageEvents)[number]

/** What came of what an event of the audit log tells. */
export type AuditedOutcome = (typeof auditOutcomes)[number]

/** What one request adds. */
export interface RequestRecord {
  /** The route's name, never a path. */
  readonly endpoint: string
  readonly method: string
  readonly status: number
  readonly durationMs: number
  readonly receivedBytes: number
  readonly sentBytes: number
}

/** One process's numbers; plain JSON, so that they can be sent to the primary. */
export type MetricsSnapshot = Awaited<ReturnType<Registry['getMetricsAsJSON']>>

/** The recorders of one process. */
export type Metrics = ReturnType<typeof createMetrics>

export const metricsContentType: string = prometheusContentType

const knownMethods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** Counters of one process, in a register of their own. */
export function createMetrics() {
  const register = new Registry()
  const counter = (row: MetricRow) => new Counter({ ...describe(row), registers: [register] })
  const gauge = (row: MetricRow) => new Gauge({ ...describe(row), registers: [register] })
  const errors = counter(metricTable.errors)
  const uploadsActive = gauge(metricTable.uploadsActive)
  const uploadsFinished = counter(metricTable.uploadsFinished)
  const blobs = gauge(metricTable.blobs)
  const blobBytes = gauge(metricTable.blobBytes)
  const linkedBytes = gauge(metricTable.linkedBytes)
  const logins = counter(metricTable.logins)
  const workerRestarts = counter(metricTable.workerRestarts)
  const auditEvents = counter(metricTable.auditEvents)
  const auditDropped = counter(metricTable.auditDropped)
  const recordCollection = collectionRecorder(register)
  const scrub = scrubRecorders(register)
  const recordRequest = requestRecorder(register)
  // Present at nothing from the start: a series that begins at one shows no increase.
  for (const outcome of uploadOutcomes) uploadsFinished.inc({ outcome }, 0)
  for (const outcome of loginOutcomes) logins.inc({ outcome }, 0)
  for (const outcome of auditOutcomes) auditEvents.inc({ outcome }, 0)
  let isMeasuringProcess = false
  return {
    recordRequest,
    recordError: (reason: string): void => errors.inc({ reason }),
    /** Call what it returns when the bytes have stopped, however they did; calling it again changes nothing. */
    startReceiving: (): (() => void) => {
      let isOver = false
      uploadsActive.inc()
      return () => {
        if (!isOver) uploadsActive.dec()
        isOver = true
      }
    },
    recordUploads: (outcome: UploadOutcome, count = 1): void => uploadsFinished.inc({ outcome }, count),
    recordLogin: (outcome: LoginOutcome): void => logins.inc({ outcome }),
    recordAudit: (outcome: AuditedOutcome): void => auditEvents.inc({ outcome }),
    recordAuditDropped: (count: number): void => auditDropped.inc(count),
    recordCollection,
    ...scrub,
    recordWorkerRestart: (): void => workerRestarts.inc(),
    /** Totals as the rows have them: the same whichever process reads them. */
    setStored: (stored: { blobs: number; bytes: number; linkedBytes: number }): void => {
      blobs.set(stored.blobs)
      blobBytes.set(stored.bytes)
      linkedBytes.set(stored.linkedBytes)
    },
    snapshot: async (): Promise<MetricsSnapshot> => {
      // From the first look on: watching the event loop costs a timer of 10 ms, which nobody pays who never looks.
      if (!isMeasuringProcess) collectDefaultMetrics({ register })
      isMeasuringProcess = true
      return (await register.getMetricsAsJSON()).map((metric) => ({
        ...metric,
        values: metric.values.filter(({ value }) => Number.isFinite(value)),
      }))
    },
  }
}

/** Told of each step of the collector, in milliseconds. */
function collectionRecorder(register: Registry): (step: { readonly blobs: number; readonly bytes: number }, tookMs: number) => void {
  const blobs = new Counter({ ...describe(metricTable.collectedBlobs), registers: [register] })
  const bytes = new Counter({ ...describe(metricTable.collectedBytes), registers: [register] })
  const row = metricTable.collectionSteps
  const steps = new Histogram({ ...describe(row), buckets: [...row.buckets], registers: [register] })
  return (step, tookMs) => {
    blobs.inc(step.blobs)
    bytes.inc(step.bytes)
    steps.observe(tookMs / 1000)
  }
}

function scrubRecorders(register: Registry) {
  const read = new Counter({ ...describe(metricTable.scrubBytes), registers: [register] })
  const damage = new Counter({ ...describe(metricTable.damage), registers: [register] })
  const damaged = new Gauge({ ...describe(metricTable.damaged), registers: [register] })
  const finished = new Gauge({ ...describe(metricTable.scrubFinished), registers: [register] })
  for (const event of damageEvents) damage.inc({ event }, 0)
  return {
    recordScrub: (bytes: number): void => read.inc(bytes),
    recordDamage: (event: DamageEvent): void => damage.inc({ event }),
    /** As the rows have it. */
    setDamage: (state: { readonly isAnythingDamaged: boolean; readonly finishedAtMs: number | null }): void => {
      damaged.set(state.isAnythingDamaged ? 1 : 0)
      finished.set((state.finishedAtMs ?? 0) / 1000)
    },
  }
}

/** Prometheus text over several processes: counters, histograms and gauges added up, lags averaged or at their extreme. */
export function aggregateSnapshots(snapshots: readonly MetricsSnapshot[]): Promise<string> {
  return AggregatorRegistry.aggregate([...snapshots]).metrics()
}

/** Labels are looked up once for each endpoint, method and status; after that a request costs two map reads. */
function requestRecorder(register: Registry): (request: RequestRecord) => void {
  const requests = new Counter({ ...describe(metricTable.requests), registers: [register] })
  const durations = new Histogram({
    ...describe(metricTable.durations),
    buckets: [...metricTable.durations.buckets],
    registers: [register],
  })
  const received = new Counter({ ...describe(metricTable.receivedBytes), registers: [register] })
  const sent = new Counter({ ...describe(metricTable.sentBytes), registers: [register] })
  const counters = new Map<string, Counter.Internal>()
  const timers = new Map<string, Histogram.Internal<string>>()
  return (request) => {
    const { endpoint, status } = request
    const method = knownMethods.has(request.method) ? request.method : 'other'
    const route = `${method} ${endpoint}`
    const counted = `${route} ${status}`
    let counter = counters.get(counted)
    if (counter === undefined) counters.set(counted, (counter = requests.labels({ endpoint, method, status: String(status) })))
    let timer = timers.get(route)
    if (timer === undefined) timers.set(route, (timer = durations.labels({ endpoint, method })))
    counter.inc()
    timer.observe(request.durationMs / 1000)
    if (request.receivedBytes > 0) received.inc(request.receivedBytes)
    if (request.sentBytes > 0) sent.inc(request.sentBytes)
  }
}

function describe(row: MetricRow) {
  return { name: row.name, help: row.help, labelNames: [...row.labels], aggregator: row.aggregator ?? ('sum' as const) }
}
