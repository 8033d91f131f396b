/* eslint-disable max-lines -- one table of facts: splitting it would hide a setting */
/**
 * Every setting, once: key, schema, default, unit, the operator's story, and whether it is a secret.
 *
 * The type, the environment name, the flag, the file key, the sample file and docs/configuration.md follow from a row;
 * nothing else in the program names a setting. Owns no reading of sources: load.ts does that.
 */
import { availableParallelism } from 'node:os'
import type { z } from 'zod'
import { addressBlocks, baseUrl, bearerToken, listenAddress, number, oneOf, password, path, size, truth, wholeNumber } from './values.ts'

interface Row<K extends string, S extends z.ZodType, D> {
  /** Camel case; a dot leads into a section of the file. */
  readonly key: K
  /** Its description says what is allowed. */
  readonly schema: S
  /** Undefined: the setting may be absent. */
  readonly default: D
  /** For documentation, where the value alone does not say it or differs by machine. */
  readonly defaultText?: string
  readonly unit?: string
  /** The first sentence says what it is, the rest when an operator would change it. */
  readonly doc: string
  /** Never shown, never a flag; may come from a file named by the environment. */
  readonly isSecret?: true
}

function setting<const K extends string, S extends z.ZodType, const D extends z.output<S> | undefined>(row: Row<K, S, D>): Row<K, S, D> {
  return row
}

export const settingTable = [
  setting({
    key: 'data',
    schema: path(),
    default: './data',
    doc: 'The folder that holds everything: blobs, database, keys. Point it at the disk with the space, and back it up; one server uses a folder at a time.',
  }),
  setting({
    key: 'listen',
    schema: listenAddress(),
    default: '127.0.0.1:5000',
    doc: 'The address that connections are accepted on. The default is reachable from this machine only: use :5000 to serve the network, best together with tls.certificate or behind a proxy that speaks TLS.',
  }),
  setting({
    key: 'workers',
    schema: wholeNumber({ min: 1, max: 256 }),
    default: Math.min(availableParallelism(), 256),
    defaultText: 'the number of processor cores',
    unit: 'processes',
    doc: 'How many processes serve requests. Lower it on a machine that is shared or short of memory (about 100 MiB each).',
  }),
  setting({
    key: 'access',
    schema: oneOf(['login', 'open']),
    default: 'login',
    doc: 'Whether a login is needed. With open, anyone who reaches the address may pull, push and delete everything: for a lab or a throw-away CI network only.',
  }),
  setting({
    key: 'admin.password',
    schema: password(),
    default: undefined,
    isSecret: true,
    doc: 'The password of the first administrator, "admin". Used only when a data folder without accounts is started for the first time; set it for unattended installations, otherwise a random password is made and printed once.',
  }),
  setting({
    key: 'externalUrl',
    schema: baseUrl(),
    default: undefined,
    doc: 'The address that clients use, such as https://registry.example.com. Without it the address is taken from each request; set it when a proxy changes the Host header, or when the registry must be known under one name only.',
  }),
  setting({
    key: 'trustedProxies',
    schema: addressBlocks(),
    default: [],
    defaultText: 'none',
    doc: 'Proxies whose X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host headers are believed. List your reverse proxy here, so that logins point to the right address and the log shows real clients; never list addresses that clients can have.',
  }),
  setting({
    key: 'tls.certificate',
    schema: path(),
    default: undefined,
    doc: 'A PEM file with the certificate and its chain. Set it, together with tls.key, to serve https without a proxy; when the files change they are loaded again without a restart.',
  }),
  setting({
    key: 'tls.key',
    schema: path(),
    default: undefined,
    doc: 'A PEM file with the private key of tls.certificate. It must be readable by the user the registry runs as, and by nobody else.',
  }),
  setting({
    key: 'auth.tokenSeconds',
    schema: wholeNumber({ min: 60, max: 3600 }),
    default: 900,
    unit: 'seconds',
    doc: 'How long a token from /token is valid. Clients fetch a new one by themselves; raise it if very long pushes run through clients that do not. Disabling an account ends its tokens at once, whatever their age.',
  }),
  setting({
    key: 'auth.bcryptCost',
    schema: wholeNumber({ min: 4, max: 15 }),
    default: 12,
    unit: 'doublings',
    doc: 'The work in one password check; each step doubles it (12 is about 0.2 s). Lower it on slow boards where logins take seconds. It applies to passwords set from then on.',
  }),
  setting({
    key: 'auth.loginQueue',
    schema: wholeNumber({ min: 1, max: 10_000 }),
    default: 256,
    unit: 'logins per process',
    doc: 'How many logins may wait for their password check before more are turned away with 503, or with 429 where many were wrong. Raise it if a large CI starts hundreds of jobs in the same second; lower it to bound what an attacker can queue.',
  }),
  setting({
    key: 'auth.sessionIdleHours',
    schema: wholeNumber({ min: 1, max: 8760 }),
    default: 12,
    unit: 'hours',
    doc: 'After how long without a request a browser must sign in again. Lower it where browsers are shared; raise it for a team that does not want to sign in every morning.',
  }),
  setting({
    key: 'auth.sessionDays',
    schema: wholeNumber({ min: 1, max: 365 }),
    default: 30,
    unit: 'days',
    doc: 'After how long a browser must sign in again in any case. Lower it where a rule says so; a changed password, or an account that is disabled, ends its sessions at once.',
  }),
  setting({
    key: 'repositories.visibility',
    schema: oneOf(['private', 'internal', 'public']),
    default: 'private',
    doc: 'Who may pull from a repository that is created by its first push, if its namespace says nothing else: private those with a role, internal every account, public anyone without a login. Use internal in a team that shares by default; repositories that exist keep theirs.',
  }),
  setting({
    key: 'namespaces.create',
    schema: oneOf(['everyone', 'administrators']),
    default: 'administrators',
    doc: 'Who may create a namespace that is not of their own name, by the first push into it or by itself; its creator owns it. Use everyone in a team that trusts itself to choose names; robots never create one.',
  }),
  setting({
    key: 'delete.enabled',
    schema: truth(),
    default: true,
    doc: "Whether tags, manifests and blobs may be deleted. Switch it off on an archive, where even an administrator's client must not remove anything: deletes then answer 405.",
  }),
  setting({
    key: 'manifests.maxBytes',
    schema: size({ min: 1024, max: 64 * 1024 ** 2 }),
    default: 4 * 1024 ** 2,
    unit: 'bytes',
    doc: 'The largest manifest that is accepted, this size included. Manifests are held in memory while they are checked; raise it only if a build tool makes larger ones and is refused with 413.',
  }),
  setting({
    key: 'manifests.maxReferences',
    schema: wholeNumber({ min: 1, max: 100_000 }),
    default: 1000,
    unit: 'references',
    doc: 'How many blobs and manifests one manifest may reference. Raise it for very large indexes or build caches; each reference costs a look-up when the manifest is pushed.',
  }),
  setting({
    key: 'manifests.missing',
    schema: oneOf(['strict', 'index', 'off']),
    default: 'strict',
    doc: 'What happens when a manifest references content that is not here: strict refuses it, index lets an index miss some of its platforms, off checks nothing. Use index for mirrors that copy one platform of many; with off, a pull may fail half-way.',
  }),
  setting({
    key: 'manifests.allowUnknownTypes',
    schema: truth(),
    default: false,
    doc: 'Whether manifests of media types that the registry does not know are stored. Switch it on for a tool with a format of its own; what such a manifest references is not known, so nothing protects it.',
  }),
  setting({
    key: 'manifests.maxTagsPerPush',
    schema: wholeNumber({ min: 1, max: 1000 }),
    default: 100,
    unit: 'tags',
    doc: 'How many tags one push may set with ?tag= parameters. Raise it if a release tool sets more and is refused with 414.',
  }),
  setting({
    key: 'storage.reserveBytes',
    schema: size({ min: 0, max: 1024 ** 4 }),
    default: 64 * 1024 ** 2,
    unit: 'bytes',
    doc: 'How much room on the disk is left to others: with less free, pushes are refused while pulls and deletes go on. Raise it where other programs share the disk; 0 refuses only when a write fails.',
  }),
  setting({
    key: 'gc.leaseHours',
    schema: number({ min: 0, max: 8760 }),
    default: 24,
    unit: 'hours',
    doc: 'How long a blob that nothing references stays after a client last pushed it or asked whether it is there. Raise it if pushes take longer than that from their first blob to their manifest; lower it to get space back sooner. 0 is for a registry into which nobody is pushing.',
  }),
  setting({
    key: 'gc.untaggedDays',
    schema: wholeNumber({ min: 0, max: 3650 }),
    default: 0,
    unit: 'days',
    doc: 'After how many days manifests that lost their tag, or never had one, are removed where the repository says nothing else; 0 keeps them. Set it where builds move the same tags again and again; what an index lists, and what refers to a manifest that is there, stays in any case.',
  }),
  setting({
    key: 'trash.days',
    schema: wholeNumber({ min: 0, max: 3650 }),
    default: 7,
    unit: 'days',
    doc: 'How long a deleted repository or manifest can be restored, and a tag that was moved or removed. Lower it when what was deleted fills the disk; 0 gives the space back at once.',
  }),
  setting({
    key: 'snapshots.everyHours',
    schema: number({ min: 0, max: 8760 }),
    default: 6,
    unit: 'hours',
    doc: 'How often the database is copied within the data folder, so that "lanyard rebuild" can bring it back. Raise it where a large database and a slow disk make copies felt; 0 makes none. It is no backup: that lies on another disk.',
  }),
  setting({
    key: 'snapshots.keep',
    schema: wholeNumber({ min: 1, max: 1000 }),
    default: 8,
    unit: 'copies',
    doc: 'How many of these copies stay, the newest ones. Lower it when they take too much of the disk: each is about as large as the database. Copies made before an upgrade are not counted and stay.',
  }),
  setting({
    key: 'uploads.expireHours',
    schema: wholeNumber({ min: 1, max: 8760 }),
    default: 24,
    unit: 'hours',
    doc: 'How long an upload that receives nothing is kept, so that it can be resumed. Lower it when abandoned uploads fill the disk; raise it for clients that resume after a weekend.',
  }),
  setting({
    key: 'uploads.maxPerAccount',
    schema: wholeNumber({ min: 1, max: 100_000 }),
    default: 1000,
    unit: 'uploads',
    doc: 'How many unfinished uploads one account may have. It stops a broken client from filling the disk with them; raise it if one account serves a very large CI and is refused with 429.',
  }),
  setting({
    key: 'scrub.everyDays',
    schema: wholeNumber({ min: 0, max: 365 }),
    default: 7,
    unit: 'days',
    doc: 'How often everything that is stored is read again, to find what the disk has damaged while other copies still exist; 0 is never. Raise it for a store that is so large, or a disk so slow, that a scrub takes longer than that.',
  }),
  setting({
    key: 'scrub.mibPerSecond',
    schema: wholeNumber({ min: 1, max: 10_000 }),
    default: 20,
    unit: 'MiB per second',
    doc: 'How fast a scrub reads at the most. 20 read 12 TiB in a week; lower it where pulls get slower meanwhile, raise it for a larger store on a fast disk.',
  }),
  setting({
    key: 'lists.pageSize',
    schema: wholeNumber({ min: 1, max: 100_000 }),
    default: 10_000,
    unit: 'entries',
    doc: 'The most entries in one page of a list of tags or repositories. Lower it if a proxy limits the size of answers; clients that follow the Link header see the whole list either way.',
  }),
  setting({
    key: 'http.idleSeconds',
    schema: wholeNumber({ min: 5, max: 86_400 }),
    default: 300,
    unit: 'seconds',
    doc: 'After how long a connection on which nothing moved is closed. It does not limit a transfer that progresses; raise it for links that stall for minutes, lower it when lost clients hold too many connections.',
  }),
  setting({
    key: 'http.minBytesPerSecond',
    schema: wholeNumber({ min: 0, max: 1_000_000 }),
    default: 256,
    unit: 'bytes per second',
    doc: 'The slowest that a request body may arrive, on average over a minute; below it the connection is ended. It stops senders that only hold connections open; lower it, or set 0, for the slowest of lines.',
  }),
  setting({
    key: 'shutdown.graceSeconds',
    schema: wholeNumber({ min: 0, max: 3600 }),
    default: 8,
    unit: 'seconds',
    doc: 'How long running requests may finish after a stop signal. Keep it at least 2 seconds below the time after which your supervisor kills (docker stop: 10 s, systemd: 90 s, Kubernetes: 30 s); interrupted pushes can be resumed.',
  }),
  setting({
    key: 'log.level',
    schema: oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
    default: 'info',
    doc: 'The least important lines that are logged. Use debug to see why a client disconnects, warn to keep only what needs attention.',
  }),
  setting({
    key: 'log.format',
    schema: oneOf(['auto', 'json', 'pretty']),
    default: 'auto',
    doc: 'How log lines look: json for machines, pretty for people, auto is pretty on a terminal and json elsewhere. Set it when the guess is wrong, for example json under a supervisor that gives the process a terminal.',
  }),
  setting({
    key: 'log.requests',
    schema: truth(),
    default: true,
    doc: 'Whether every request gets a line. Switch it off when a proxy in front already keeps an access log; faults are logged in any case.',
  }),
  setting({
    key: 'audit.days',
    schema: wholeNumber({ min: 1, max: 3650 }),
    default: 90,
    unit: 'days',
    doc: 'How long events stay in the audit log. Raise it where rules ask for longer, and audit.maxRows with it, or copy the events elsewhere with "lanyard audit export".',
  }),
  setting({
    key: 'audit.maxRows',
    schema: wholeNumber({ min: 1000, max: 100_000_000 }),
    default: 1_000_000,
    unit: 'events',
    doc: 'How many events the audit log holds; beyond that the oldest go. Raise it if a busy registry fills it before audit.days are over: a million events take about 300 MB of disk.',
  }),
  setting({
    key: 'audit.pulls',
    schema: truth(),
    default: true,
    doc: 'Whether pulls are recorded in the audit log. Switch it off where a cluster pulls so often that nothing else stays in the log for long; everything else is recorded in any case.',
  }),
  setting({
    key: 'metrics.access',
    schema: oneOf(['admin', 'anyone']),
    default: 'admin',
    doc: 'Who may read /metrics: administrators (and whoever holds metrics.token), or anyone. Use anyone only where the address is closed to the public, because the numbers tell how the registry is used.',
  }),
  setting({
    key: 'metrics.token',
    schema: bearerToken(),
    default: undefined,
    isSecret: true,
    doc: 'A bearer token that may read /metrics and nothing else. Give it to Prometheus as its authorization credentials, so that it needs no account.',
  }),
]

type TableRow = (typeof settingTable)[number]

export type SettingKey = TableRow['key']

type ValueOf<R> = R extends Row<string, infer S, infer D> ? z.output<S> | (undefined extends D ? undefined : never) : never

/** Every setting under its dotted key. */
export type FlatSettings = { readonly [R in TableRow as R['key']]: ValueOf<R> }

type Section<K> = K extends `${infer Head}.${string}` ? Head : K
type InSection<F, H extends string> = { readonly [K in keyof F as K extends `${H}.${infer Rest}` ? Rest : never]: F[K] }
type Nested<F> = { readonly [H in Section<keyof F> & string]: H extends keyof F ? F[H] : InSection<F, H> }

/** Every setting, in its section: `settings.log.level`. Plain JSON, so that it can be sent to a worker. */
export type Settings = Nested<FlatSettings>

/** One row of the table, whatever its type of value. */
export type SettingRow = Row<SettingKey, z.ZodType, unknown>

/** The table where every row is treated alike. */
export const settingRows: readonly SettingRow[] = settingTable

/** `log.level` → `LANYARD_LOG_LEVEL`. */
export function environmentNameOf(key: SettingKey): string {
  return `LANYARD_${wordsOf(key).join('_').toUpperCase()}`
}

/** `log.level` → `log-level`, which the command line writes `--log-level`. */
export function flagNameOf(key: SettingKey): string {
  return wordsOf(key).join('-').toLowerCase()
}

/** What is allowed, in words. */
export function allowedFor(row: SettingRow): string {
  return row.schema.description ?? ''
}

/** Puts flat values into their sections. */
export function nestSettings(flat: FlatSettings): Settings {
  const nested: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(flat)) {
    const [section = '', name] = key.split('.')
    if (name === undefined) nested[section] = value
    else nested[section] = { ...(nested[section] as object | undefined), [name]: value }
  }
  return nested as unknown as Settings
}

/** The defaults with some values replaced, for whoever builds a server in code; nothing is checked. */
export function defaultSettings(changed: Partial<FlatSettings> = {}): Settings {
  const defaults = Object.fromEntries(settingRows.map((row) => [row.key, row.default]))
  return nestSettings({ ...defaults, ...changed } as FlatSettings)
}

function wordsOf(key: SettingKey): string[] {
  return key.replaceAll(/[A-Z]/g, (letter) => `.${letter}`).split('.')
}
