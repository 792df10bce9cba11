// What a line chart shows of its values: logarithms, limits, a start that is cut off. Pure.
import { number } from '../format'
import { logTicks, ticks } from '../math'

export interface View {
  log: boolean
  /** Visible part of x; null: all. */
  range: [number, number] | null
  /** A level that is always in sight. */
  floor?: number | null
  /** Whether a first value far above all others may be left outside. */
  clip: boolean
}

export interface Extent {
  low: number
  high: number
  /** The first value, where it is left outside. */
  startsAt: number | null
}

const ROUNDING = 1e-14
const START_PART = 0.03
const START_TIMES = 6
const FEWEST = 12 // points, below which nothing is cut off

/** The smallest value that is told from rounding: in view of where the curve starts. */
export function edgeOf(lines: ArrayLike<number>[]): number {
  let first = 0
  for (const line of lines)
    for (let i = 0; i < line.length; i++) {
      const value = line[i]!
      if (!Number.isFinite(value) || value <= 0) continue
      first = Math.max(first, value)
      break
    }
  return first * ROUNDING
}

/** Where the curves of a chart end below; on a linear axis nowhere. */
export const lowestDrawn = (lines: ArrayLike<number>[], log: boolean): number => (log ? edgeOf(lines) : -Infinity)

/** A value in words as the chart draws it: what lies below its edge is told by the edge. */
export const told = (value: number | null | undefined, edge: number): string =>
  value != null && edge > 0 && value <= edge ? `< ${number(edge, 1)}` : number(value)

/** Values as they are drawn: their logarithm, those below the edge at the edge; else themselves. */
export function drawn(values: ArrayLike<number>, log: boolean, edge: number): Float64Array {
  const out = new Float64Array(values.length)
  const lowest = Math.log10(edge)
  for (let i = 0; i < out.length; i++) {
    const value = values[i]!
    out[i] = !Number.isFinite(value) ? NaN : !log ? value : value > edge ? Math.log10(value) : lowest
  }
  return out
}

/** Limits of y, in drawn units, of what is in sight. */
export function extent(x: ArrayLike<number>, lines: ArrayLike<number>[], view: View, edge: number): Extent {
  const whole = span(x, lines, view.range, edge)
  const start = view.clip && !view.range ? startOf(x, lines, whole, view.log, edge) : null
  let [low, high] = start ? start.rest : whole
  if (low > high) [low, high] = [1, 1]
  const { floor } = view
  if (typeof floor === 'number' && (!view.log || floor > edge)) {
    low = Math.min(low, floor)
    high = Math.max(high, floor)
  }
  const told = { startsAt: start?.value ?? null }
  if (!view.log) return { low: view.range ? low - (high - low) * 0.12 : Math.min(0, low), high: high + (high - Math.min(0, low)) * 0.06 || 1, ...told }
  const [from, to] = [Math.log10(Math.max(low, edge)), Math.log10(Math.max(high, edge))]
  const room = Math.max(to - from, 0.02)
  return { low: from - room * 0.14, high: to + room * 0.07, ...told }
}

interface Start {
  value: number
  rest: [number, number]
}

/** A first value that would squeeze all the others: above 6 times what follows the first 3 %. */
function startOf(
  x: ArrayLike<number>, lines: ArrayLike<number>[], [, most]: [number, number], log: boolean, edge: number,
): Start | null {
  if (x.length < FEWEST) return null
  const [from, to] = [x[0]!, x[x.length - 1]!]
  const rest = span(x, lines, [from + (to - from) * START_PART, to], edge)
  if (!(most > START_TIMES * rest[1])) return null
  // On a logarithmic axis a straight fall of many decades is the picture: nothing is squeezed.
  const decades = Math.log10(rest[1] / Math.max(rest[0], edge))
  if (log && Math.log10(most / rest[1]) < 1.2 * decades) return null
  return { value: most, rest: [rest[0], rest[1] * (log ? 1.25 : 1.1)] }
}

function span(
  x: ArrayLike<number>, lines: ArrayLike<number>[], range: [number, number] | null, edge: number,
): [number, number] {
  let [low, high] = [Infinity, -Infinity]
  for (const line of lines)
    for (let i = 0; i < line.length; i++) {
      if (range && (x[i]! < range[0] || x[i]! > range[1])) continue
      const value = Math.max(line[i]!, line[i]! <= 0 ? edge : -Infinity)
      if (!Number.isFinite(value)) continue
      if (value < low) low = value
      if (value > high) high = value
    }
  return [low, high]
}

/** Where lines of the grid stand, in drawn units. */
export function heightTicks(low: number, high: number, log: boolean): number[] {
  if (!log) return ticks(low, high, 5)
  return logTicks(10 ** low, 10 ** high).map(Math.log10).filter(Number.isFinite)
}

/** Ticks on whole numbers, as epochs are. */
export function wholeTicks(low: number, high: number, about: number): number[] {
  return ticks(low, high, about).filter(Number.isInteger)
}

/** The place of the value nearest to `at` in rising `x`. */
export function nearest(x: ArrayLike<number>, at: number): number {
  let [low, high] = [0, x.length - 1]
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (x[middle]! < at) low = middle
    else high = middle
  }
  return at - x[low]! <= x[high]! - at ? low : high
}
