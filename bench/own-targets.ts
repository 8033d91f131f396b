/**
 * The two targets that the project brings itself: this registry and the floor.
 */
import { join } from 'node:path'
import type { Contender } from './comparison.ts'

export const ownTarget: Contender = { name: 'lanyard', script: join(import.meta.dirname, 'target.sh') }

/** Knows neither lists nor logins. */
export const floorTarget: Contender = { name: 'floor', script: join(import.meta.dirname, 'floor.sh'), capabilities: ['content'] }
