// The first file of a worker process: see compile-cache.js.
import { keepCompiled } from './compile-cache.js'

keepCompiled()
const isCompiled = import.meta.url.includes('/dist/')
await import(isCompiled ? './worker.js' : './worker.ts')
