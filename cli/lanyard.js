#!/usr/bin/env node
// The command's first file, in JavaScript that every Node reads: it looks at the version before anything is loaded that
// would crash an older one, then hands over. Owns nothing else.
const major = Number(process.versions.node.split('.')[0])
if (major < 24) {
  process.stderr.write(
    `Lanyard needs Node.js 24 or newer; this is ${process.version} (${process.execPath}). ` +
      'In a clone, "npm ci" brings the right one: use "npm start" or "npm run lanyard -- ...".\n',
  )
  process.exit(1)
}
const { keepCompiled } = await import('../server/compile-cache.js')
keepCompiled()
const isCompiled = import.meta.url.includes('/dist/')
await import(isCompiled ? './main.js' : './main.ts')
