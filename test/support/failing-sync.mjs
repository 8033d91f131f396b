// Preloaded into a server: makes the syncs that a file names fail with EIO, as a dying disk does. The file is named in the query of
// this module's address and may change at any time: `fsync`, `fdatasync`, both, or nothing.
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const wish = new URL(import.meta.url).searchParams.get('wish')

for (const name of ['fsync', 'fdatasync']) {
  const real = fs[name]
  fs[name] = (file, done) => {
    if (fs.readFileSync(wish, 'utf8').split(' ').includes(name)) {
      const error = Object.assign(new Error(`EIO: i/o error, ${name}`), { code: 'EIO', syscall: name })
      setImmediate(() => done(error))
    } else real(file, done)
  }
}
syncBuiltinESMExports()
