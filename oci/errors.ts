/**
 * Every fault a user can meet, as one table: our reason, finer than the wire's code, and what it becomes there.
 *
 * Any floor throws a RegistryError by reason; only the error middleware turns one into a response. Statuses are data,
 * so the floors below HTTP never choose one. docs/errors.md is generated from this table.
 */

/** The error codes a client may see. Spec: distribution-spec v1.1.1, "Error Codes"; UNAVAILABLE and UNKNOWN are ours for 5xx, CONFLICT is the API's. */
export type ErrorCode =
  | 'BLOB_UNKNOWN'
  | 'BLOB_UPLOAD_INVALID'
  | 'BLOB_UPLOAD_UNKNOWN'
  | 'CONFLICT'
  | 'DENIED'
  | 'DIGEST_INVALID'
  | 'MANIFEST_BLOB_UNKNOWN'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'SIZE_INVALID'
  | 'TOOMANYREQUESTS'
  | 'UNAUTHORIZED'
  | 'UNAVAILABLE'
  | 'UNKNOWN'
  | 'UNSUPPORTED'

export interface ErrorRow {
  readonly code: ErrorCode
  readonly status: number
  /** What the person at the client reads when no finer message is given. */
  readonly message: string
}

const row = (code: ErrorCode, status: number, message: string): ErrorRow => ({ code, status, message })

export const errorTable = {
  // names and digests
  nameInvalid: row(
    'NAME_INVALID',
    400,
    'the repository name is not valid: use lower-case letters and digits, separated by one of . _ __ - and /',
  ),
  tagInvalid: row(
    'NAME_INVALID',
    400,
    'the tag is not valid: up to 128 letters, digits, dots, dashes and underscores, not starting with a dot or a dash',
  ),
  nameUnknown: row('NAME_UNKNOWN', 404, 'the repository does not exist in this registry'),
  digestInvalid: row(
    'DIGEST_INVALID',
    400,
    'the digest is not valid: expected an algorithm and its hex value, such as sha256:<64 hex digits>',
  ),
  digestUnsupported: row('DIGEST_INVALID', 400, 'the digest algorithm is not supported: use sha256 or sha512'),
  digestMismatch: row(
    'DIGEST_INVALID',
    400,
    'the content does not have the digest it was sent with: it was damaged on the way or changed while it was read',
  ),

  // blobs and upload sessions
  blobUnknown: row('BLOB_UNKNOWN', 404, 'the blob is not in this repository'),
  blobInUse: row('UNSUPPORTED', 405, 'the blob is still used by a manifest of this repository: delete the manifest first'),
  blobDamaged: row('UNKNOWN', 500, 'the stored blob is damaged and is not served: push it again to repair it'),
  rangeNotSatisfiable: row('SIZE_INVALID', 416, 'the requested range lies outside the content'),
  uploadUnknown: row(
    'BLOB_UPLOAD_UNKNOWN',
    404,
    'the upload session does not exist: it was finished, cancelled or has expired; start the upload again',
  ),
  uploadOutOfOrder: row(
    'BLOB_UPLOAD_INVALID',
    416,
    'the chunk does not continue the upload where it stands: the Range header says how far it got',
  ),
  uploadBusy: row('BLOB_UPLOAD_INVALID', 416, 'another request is writing to this upload session'),
  uploadSizeMismatch: row('SIZE_INVALID', 400, 'the number of bytes received is not the number announced'),
  uploadInterrupted: row('BLOB_UPLOAD_INVALID', 400, 'the connection ended before all announced bytes arrived; what arrived is kept'),
  tooManyUploads: row(
    'TOOMANYREQUESTS',
    429,
    'too many upload sessions are open for this account: finish or cancel some, or wait until they expire',
  ),

  // manifests and tags
  manifestUnknown: row('MANIFEST_UNKNOWN', 404, 'the manifest is not in this repository'),
  manifestDamaged: row('UNKNOWN', 500, 'the stored manifest is damaged and is not served: push it again to repair it'),
  manifestInvalid: row('MANIFEST_INVALID', 400, 'the manifest is not valid'),
  manifestTooLarge: row('SIZE_INVALID', 413, 'the manifest is too large'),
  manifestBlobUnknown: row('MANIFEST_BLOB_UNKNOWN', 400, 'the manifest references content that is not in this repository: push that first'),
  tooManyTags: row('UNSUPPORTED', 414, 'too many tag parameters in one request'),

  // who may do what
  unauthenticated: row('UNAUTHORIZED', 401, 'authentication required'),
  credentialsWrong: row('UNAUTHORIZED', 401, 'incorrect username or password'),
  tokenInvalid: row('UNAUTHORIZED', 401, 'the token is expired or not valid: log in again'),
  scopeInsufficient: row('UNAUTHORIZED', 401, 'the token does not cover this request'),
  denied: row('DENIED', 403, 'requested access to the resource is denied'),
  namespaceUnknown: row('NAME_UNKNOWN', 404, 'the namespace does not exist in this registry'),
  teamUnknown: row('NAME_UNKNOWN', 404, 'the team does not exist in this registry'),
  memberUnknown: row('UNSUPPORTED', 404, 'it is not a member there'),
  accountUnknown: row('NAME_UNKNOWN', 404, 'there is no such account'),
  accessTokenUnknown: row('UNSUPPORTED', 404, 'there is no such access token'),
  robotUnknown: row('UNSUPPORTED', 404, 'there is no such robot'),
  browserSessionUnknown: row('UNSUPPORTED', 404, 'the account is not signed in by such a session'),
  trashItemUnknown: row('UNSUPPORTED', 404, 'there is nothing of this number in the trash, or its time is over'),
  restoreBlocked: row('CONFLICT', 409, 'it would not be complete: what it lists was removed, too; restore that first'),
  nameTaken: row('CONFLICT', 409, 'the name is taken: choose another'),
  namespaceInUse: row('CONFLICT', 409, 'the namespace is in use: empty it first'),
  loginBusy: row('UNAVAILABLE', 503, 'too many logins are being checked at once: try again in a moment'),
  loginThrottled: row(
    'TOOMANYREQUESTS',
    429,
    'too many wrong logins came from this address or for this account: look at the password that is sent, and try again in a moment',
  ),
  secondFactorNeeded: row('UNAUTHORIZED', 401, 'the account has a second factor: the password alone does not open it'),
  codeWrong: row('UNAUTHORIZED', 401, 'the code of the second factor is wrong or was used before: wait for the next one'),
  sessionUnknown: row('UNAUTHORIZED', 401, 'not signed in here, or the session has ended: sign in again'),
  requestForged: row('DENIED', 403, 'the request does not show that it comes from a page of this registry'),

  // requests in general
  parameterInvalid: row('UNSUPPORTED', 400, 'a parameter of the request is not valid'),
  requestInvalid: row('UNSUPPORTED', 400, 'the request is not valid'),
  requestTooLarge: row('SIZE_INVALID', 413, 'the request body is too large'),
  mediaTypeUnsupported: row('UNSUPPORTED', 415, 'the body of the request is not JSON by its type: send it as application/json'),
  hostInvalid: row('UNSUPPORTED', 400, 'the Host header is not a host name or address'),
  endpointUnknown: row('UNSUPPORTED', 404, 'this path is not part of the registry API'),
  methodNotAllowed: row('UNSUPPORTED', 405, 'this method is not supported here'),
  deleteDisabled: row('UNSUPPORTED', 405, 'deleting is switched off on this registry'),
  versionChanged: row('CONFLICT', 412, 'it was changed since it was read: read it again, and decide anew'),

  // the server's own troubles
  storageFull: row('DENIED', 403, 'the registry has no space left on its disk: ask its operator to free some'),
  blobCollected: row('UNAVAILABLE', 503, 'the same blob was being removed at this moment, as one that nobody needed: upload it again'),
  storageFailed: row('UNAVAILABLE', 503, 'the registry could not store the data: ask its operator to look at the log'),
  shuttingDown: row('UNAVAILABLE', 503, 'the registry is restarting: try again in a moment'),
  internal: row('UNKNOWN', 500, 'the registry failed: ask its operator to look for this request id in the log'),
} as const satisfies Record<string, ErrorRow>

export type ErrorReason = keyof typeof errorTable

export interface ErrorOptions {
  /** A finer sentence than the table's. */
  readonly message?: string
  /** Machine-readable facts, such as `{ digest }`. Never anything the caller may not know. */
  readonly detail?: unknown
  /** Several entries of the same reason, one per missing digest for example; overrides `detail`. */
  readonly details?: readonly unknown[]
  /** Headers that belong to this answer, such as Range or WWW-Authenticate. */
  readonly headers?: Readonly<Record<string, string>>
  readonly cause?: unknown
}

/** The one error type of the registry: a reason from the table and what is particular to this case. */
export class RegistryError extends Error {
  readonly reason: ErrorReason
  readonly details: readonly unknown[]
  readonly headers: Readonly<Record<string, string>>

  constructor(reason: ErrorReason, options: ErrorOptions = {}) {
    super(options.message ?? errorTable[reason].message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'RegistryError'
    this.reason = reason
    this.details = options.details ?? (options.detail === undefined ? [] : [options.detail])
    this.headers = options.headers ?? {}
  }

  get code(): ErrorCode {
    return errorTable[this.reason].code
  }

  get status(): number {
    return errorTable[this.reason].status
  }
}

/** Whether `error` is a RegistryError, of the given reason if one is named. */
export function isRegistryError(error: unknown, reason?: ErrorReason): error is RegistryError {
  return error instanceof RegistryError && (reason === undefined || error.reason === reason)
}
