// The first thing that a process of the campaign loads (node --import): makes the moments at which it can be killed, before any
// module of the product takes its functions. In JavaScript, and with what Node compiles kept, so that a start costs no more than usual.
import { keepCompiled } from '../../server/compile-cache.js'

keepCompiled()
const { sabotage } = await import('./sabotage.ts')
const { makeMoments } = await import('./moments.ts')
// What is broken on purpose lies below the moments, as the product's own order does.
sabotage(process.env.CRASH_SABOTAGE)
makeMoments(process.env.CRASH_CONTROL ?? '')
