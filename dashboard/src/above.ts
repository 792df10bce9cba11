// How far a loss is from the lowest possible one, in words: one way for sentences, cells and tables.
import { number, percent } from './format'
import type { Metrics } from './wire'

export interface Above {
  /** Of the lowest loss; where that is nothing but rounding, of the first distance to it. */
  part: number
  /** The lowest is nothing: a percentage of it would say nothing. */
  vanishes: boolean
  near: boolean
  /** The distance from which on it may be called near the best. */
  goal: number
  /** `goal`, as this distance is written. */
  wanted: string
  /** In a cell. */
  short: string
  /** In a sentence. */
  long: string
}

const NOTHING = 1e-12 // of the first loss
const SETTLED = 1e-9 // of the first loss: the service calls so small a distance converged
const NEAR = 0.05
const WANTED = 0.01
const NEAR_FIRST = 1e-6

export function above(gap: number | null | undefined, floor: number | null | undefined, first?: number | null): Above | null {
  if (gap == null || floor == null || Number.isNaN(gap)) return null
  const left = Math.max(0, gap)
  const start = first ?? 0
  const part = left / floor
  const settled = left <= SETTLED * start && part > WANTED
  if (floor > 0 && floor > NOTHING * start && !settled) {
    const short = percent(part)
    return { part, vanishes: false, near: part <= NEAR, goal: WANTED * floor, wanted: percent(WANTED), short, long: `${short} above the lowest possible loss` }
  }
  const rest = left && left / start
  const told = rest > NOTHING ? percent(rest) : ''
  return {
    part: rest, vanishes: true, near: rest <= NEAR_FIRST, goal: NEAR_FIRST * start, wanted: percent(NEAR_FIRST),
    short: told ? `${told} left` : 'to rounding',
    long: `the training loss is ${number(floor + left)}: ${told ? `${told} of the first gap is left` : 'it fits to rounding'}`,
  }
}

/** The same of a job's metrics; an exact solution has no first loss: the target's variance stands for it. */
export function aboveOf(metrics: Metrics | null | undefined): Above | null {
  return metrics ? above(metrics.gap, metrics.min_objective, firstLoss(metrics)) : null
}

export function firstLoss({ epochs, initial_loss, train_loss, r2 }: Metrics): number | null {
  return epochs > 1 || r2 == null || train_loss === null ? initial_loss : train_loss / (1 - r2)
}
