/** What the doctor says of one thing it looked at. */

export interface Finding {
  /** The thing: `folder`, `permissions`, `disk`, ... */
  readonly check: string
  /** A warning is no fault yet. */
  readonly state: 'ok' | 'warning' | 'fault'
  readonly message: string
  /** What to do; there whenever something is wrong. */
  readonly advice?: string
}

export function ok(check: string, message: string): Finding {
  return { check, state: 'ok', message }
}

export function warning(check: string, message: string, advice: string): Finding {
  return { check, state: 'warning', message, advice }
}

export function fault(check: string, message: string, advice: string): Finding {
  return { check, state: 'fault', message, advice }
}

/** What was thrown, as words. */
export function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message
}
