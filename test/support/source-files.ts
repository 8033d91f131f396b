/** The project's own TypeScript files and what they import, read as text: for the tests of how the house is built. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

export const projectFolder = fileURLToPath(new URL('../..', import.meta.url))

const notOurs: ReadonlySet<string> = new Set(['node_modules', 'dist', 'data', 'coverage', '.git'])

export interface SourceFile {
  /** From the project's folder, with slashes. */
  readonly path: string
  readonly text: string
  /** What stands behind `from` or in `import()`: paths of files of the project, resolved, and names of modules. */
  readonly imports: readonly string[]
}

/** Every TypeScript file of the project, by path. */
export function readSources(): ReadonlyMap<string, SourceFile> {
  const paths = walk(projectFolder).filter((path) => path.endsWith('.ts'))
  return new Map(paths.map((path) => [path, readSource(path)]))
}

function walk(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (notOurs.has(entry.name) || entry.isSymbolicLink()) return []
    const path = join(folder, entry.name)
    return entry.isDirectory() ? walk(path) : [relative(projectFolder, path).replaceAll('\\', '/')]
  })
}

function readSource(path: string): SourceFile {
  const text = readFileSync(join(projectFolder, path), 'utf8')
  return { path, text, imports: importsIn(text).map((name) => (name.startsWith('.') ? normalize(join(dirname(path), name)) : name)) }
}

/** Static imports and re-exports begin their line and may go over several; dynamic ones name a literal. */
export function importsIn(text: string): string[] {
  const statements = /^(?:import|export)\s(?:[^'"`;=]*?\sfrom\s)?['"]([^'"\n]+)['"]/gm
  const dynamic = /\bimport\(\s*['"]([^'"\n]+)['"]/g
  return [...text.matchAll(statements), ...text.matchAll(dynamic)].map(([, name]) => name ?? '')
}

/** The first ring of imports that is found: the files in order, the first one again at the end. */
export function findCycle(importsOf: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const finished = new Set<string>()
  const path: string[] = []
  const visit = (file: string): string[] | undefined => {
    if (finished.has(file)) return undefined
    const start = path.indexOf(file)
    if (start !== -1) return [...path.slice(start), file]
    path.push(file)
    for (const next of importsOf.get(file) ?? []) {
      const cycle = visit(next)
      if (cycle) return cycle
    }
    path.pop()
    finished.add(file)
    return undefined
  }
  for (const file of importsOf.keys()) {
    const cycle = visit(file)
    if (cycle) return cycle
  }
  return undefined
}

export function isThere(path: string): boolean {
  return existsSync(join(projectFolder, path))
}
