/**
 * What the primary and its workers say to each other.
 */
import type { MetricsSnapshot } from './metrics.ts'
import type { Settings } from './config/settings.ts'

export type FromPrimary =
  | { readonly kind: 'start'; readonly settings: Settings }
  | { readonly kind: 'drain' }
  | { readonly kind: 'snapshot'; readonly request: number }
  | { readonly kind: 'metrics'; readonly request: number; readonly text: string }

export type FromWorker =
  | { readonly kind: 'loaded' }
  | { readonly kind: 'listening'; readonly port: number; readonly processId: string }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'snapshot'; readonly request: number; readonly snapshot: MetricsSnapshot }
  | { readonly kind: 'metrics'; readonly request: number }
