/**
 * The one place that looks at the environment of the process. Everything else is given it as an argument.
 */
import type { Environment } from './sources.ts'

/** A copy, so that later changes to the process's environment change nothing. */
export function processEnvironment(): Environment {
  return { ...process.env }
}
