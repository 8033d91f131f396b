/** Working through many things, some at once. */

/**
 * Hands each item to `work`, at most `workers` of them at once; after an error it hands out no more. Returns when nothing is under way.
 * @param work the second argument is which of the workers it is, from 0 on
 * @throws the first error
 */
export async function inParallel<T>(
  items: Generator<T, void, undefined>,
  workers: number,
  work: (item: T, worker: number) => Promise<void>,
): Promise<void> {
  const run = async (worker: number): Promise<void> => {
    try {
      for (let next = items.next(); !next.done; next = items.next()) await work(next.value, worker)
    } catch (error) {
      // For all: what has returned gives nothing more.
      items.return()
      throw error
    }
  }
  try {
    const ends = await Promise.allSettled(Array.from({ length: workers }, (_, worker) => run(worker)))
    for (const end of ends) if (end.status === 'rejected') throw end.reason
  } finally {
    items.return()
  }
}
