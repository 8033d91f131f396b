/**
 * What the clients had been told at a moment of the record, and what they had asked for: what must be so after a cut there.
 */
import { story, type Facts, type Step } from './story.ts'

export class Promises {
  readonly #facts = new Map<string, string>()
  readonly #asked = new Map<string, Step>()
  #version = 0

  /** A mark that work.ts wrote. */
  take(mark: string): void {
    const [word = '', group, place] = mark.split(' ')
    const key = `${group} ${place}`
    const step = story[Number(group)]?.[Number(place)]
    if (step === undefined) return
    this.#version++
    if (word === 'asked') this.#asked.set(key, step)
    else this.#keep(key, step)
  }

  #keep(key: string, { makes }: Step): void {
    this.#asked.delete(key)
    for (const [what, value] of Object.entries(makes)) this.#facts.set(what, value)
  }

  /** Another after every mark. */
  get version(): number {
    return this.#version
  }

  /** Steps that were asked for and not answered. */
  get underWay(): readonly Step[] {
    return [...this.#asked.values()]
  }

  /** What is not so, when this is. @param isRepeated the steps under way have been repeated: now they must have their effect */
  objections(found: Facts, { isRepeated }: { isRepeated: boolean }): string[] {
    const wanted = Object.assign({}, ...this.underWay.map(({ makes }) => makes)) as Facts
    const all = new Set([...this.#facts.keys(), ...Object.keys(wanted)])
    return [...all].flatMap((what) => {
      const old = this.#facts.get(what) ?? 'gone'
      const next = wanted[what] ?? old
      const allowed = isRepeated ? [next] : [old, next]
      const actual = found[what] ?? 'gone'
      return allowed.includes(actual) || allowed.includes('any') ? [] : [`${what} is ${actual}, not ${allowed.join(' or ')}`]
    })
  }
}
