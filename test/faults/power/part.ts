/**
 * One of several processes that share the states of a record among them: `node part.ts LOG PART PARTS SHARE SEED RAW` prints what it
 * found as JSON.
 */
import { rmSync } from 'node:fs'
import { Random } from '../random.ts'
import { explore } from './explore.ts'
import { readOperations } from './operation-log.ts'
import { makeScratch } from './record.ts'

const [log = '', part, parts, share, seed, raw] = process.argv.slice(2)
const scratch = makeScratch()
const random = new Random(Number(seed))
const isWanted = (number: number): boolean => random.chance(Number(share)) && number % Number(parts) === Number(part)
const found = await explore(readOperations(log), { scratch, isWanted, isAsRead: raw !== 'raw', maxViolations: 1000 })
rmSync(scratch, { recursive: true, force: true })
process.stdout.write(JSON.stringify(found))
