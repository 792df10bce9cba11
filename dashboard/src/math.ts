// All arithmetic of the dashboard: descent in closed form, ticks, smoothing. No DOM, no network.

export interface Mode {
  eigenvalue: number
  excess: number
  vector?: number[] | null
}

/** Gradient descent at a constant rate, as torch.optim.SGD has it. */
export interface Method {
  rate: number
  momentum: number
  nesterov: boolean
}

/** A quadratic objective along its eigenvectors: floor + unreachable + sum of the modes' excess. */
export interface Quadratic {
  modes: Mode[]
  floor: number
  unreachable: number
}

export const plain = (rate: number): Method => ({ rate, momentum: 0, nesterov: false })

// --- Descent, mode by mode ------------------------------------------------------------------

// log |1 - a|, exact also where a is small.
const logDecay = (a: number): number => (a < 0.5 ? Math.log1p(-a) : Math.log(Math.abs(1 - a)))

// One step of (z, u) along a mode, a = rate * eigenvalue, u = rate * PyTorch's momentum buffer:
//   u' = m u + a z;   z' = z - u',   with Nesterov z' = z - a z - m u'.
type Matrix = [number, number, number, number]

function step(a: number, { momentum: m, nesterov }: Method): Matrix {
  return nesterov ? [1 - a - m * a, -m * m, a, m] : [1 - a, -m, a, m]
}

const square = ([p, q, r, s]: Matrix): Matrix => [
  p * p + q * r, q * (p + s), r * (p + s), q * r + s * s,
]

/** The largest factor by which one step can multiply what is left along a mode, in the long run. */
export function decay(eigenvalue: number, method: Method): number {
  const a = method.rate * eigenvalue
  if (method.momentum === 0) return Math.abs(1 - a)
  const [p, q, r, s] = step(a, method)
  const half = (p + s) / 2
  const below = half * half - (p * s - q * r)
  return below < 0 ? Math.sqrt(p * s - q * r) : Math.abs(half) + Math.sqrt(below)
}

/** What is left along a mode after each number of steps, 1 at the start; `steps` do not fall. */
export function remaining(
  eigenvalue: number, method: Method, steps: ArrayLike<number>,
): Float64Array {
  const a = method.rate * eigenvalue
  const left = new Float64Array(steps.length)
  if (method.momentum === 0) {
    const log = logDecay(a)
    for (let i = 0; i < left.length; i++) {
      const k = steps[i]
      left[i] = k === 0 ? 1 : Math.exp(k * log) * (a > 1 && k % 2 === 1 ? -1 : 1)
    }
    return left
  }
  const powers = [step(a, method)]
  let z = 1, u = 0
  for (let i = 0, done = 0; i < left.length; done = steps[i++]) {
    for (let more = steps[i] - done, bit = 0; more > 0; more = Math.floor(more / 2), bit++) {
      powers[bit] ??= square(powers[bit - 1])
      if (more % 2 === 0) continue
      const [p, q, r, s] = powers[bit];
      [z, u] = [p * z + q * u, r * z + s * u]
    }
    left[i] = z
  }
  return left
}

/**
 * The objective before each step: after `k` steps it is
 *   floor + unreachable + sum_i excess_i left_i(k)^2.   Cost: steps x modes, however large k is.
 */
export function course(
  of: Quadratic, method: Method, steps: ArrayLike<number>,
): Float64Array {
  const told = new Float64Array(steps.length)
  for (const { eigenvalue, excess } of of.modes) {
    if (excess === 0) continue
    const left = remaining(eigenvalue, method, steps)
    for (let i = 0; i < told.length; i++) told[i] += excess * left[i] * left[i]
  }
  for (let i = 0; i < told.length; i++) told[i] += of.unreachable + of.floor
  return told
}

export const largest = (modes: Mode[]): number => modes[0]?.eigenvalue ?? 0
export const smallest = (modes: Mode[]): number => modes[modes.length - 1]?.eigenvalue ?? 0

/** The rate at and above which descent diverges. */
export function limit(modes: Mode[], momentum = 0, nesterov = false): number {
  const bound = 2 * (1 + momentum) / (nesterov ? 1 + 2 * momentum : 1)
  return bound / largest(modes)
}

/**
 * The rate at which the slowest mode shrinks fastest: there both ends of the spectrum are as slow.
 * With momentum m that can be many rates, all with sqrt(m); this is the smallest, the calmest.
 */
export function fastest(modes: Mode[], momentum = 0, nesterov = false): number {
  if (momentum === 0) return 2 / (largest(modes) + smallest(modes))
  let low = 0, high = limit(modes, momentum, nesterov)
  for (let i = 0; i < 60; i++) {
    const method = { rate: (low + high) / 2, momentum, nesterov }
    const steep = decay(largest(modes), method), flat = decay(smallest(modes), method)
    if (steep > flat + 1e-12 || Math.max(steep, flat) <= Math.sqrt(momentum) + 1e-9) high = method.rate
    else low = method.rate
  }
  return high
}

/**
 * The first k after which at most `fraction` of the first distance is left; null: never, or
 * beyond `most` steps. Without momentum the distance is convex in k: it falls, then perhaps grows.
 */
export function stepsTo(
  of: Quadratic, method: Method, fraction: number, most = 1e9,
): number | null {
  const still = { ...of, floor: 0 }
  const left = (k: number) => course(still, method, [k])[0]
  const wanted = fraction * left(0)
  if (method.momentum > 0) return scanned(still, method, wanted, Math.min(most, 20_000))
  let high = 1
  while (left(high) > wanted && left(high + 1) < left(high) && high < most) high *= 2
  if (left(high) > wanted) high = first(k => left(k + 1) >= left(k), Math.floor(high / 2), high)
  if (left(high) > wanted) return null
  return first(k => left(k) <= wanted, 0, high)
}

function scanned(of: Quadratic, method: Method, wanted: number, most: number): number | null {
  for (let from = 0; from < most; from += 500) {
    const found = course(of, method, range(from, from + 500)).findIndex(one => one <= wanted)
    if (found >= 0) return from + found
  }
  return null
}

function first(holds: (k: number) => boolean, low: number, high: number): number {
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (holds(middle)) high = middle
    else low = middle + 1
  }
  return high
}

export const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, i) => from + i)

/** At most `most` whole numbers from 0 to `last`, both ends among them: where a curve is drawn. */
export function spread(last: number, most: number): number[] {
  if (last < most) return range(0, last + 1)
  const steps = Array.from({ length: most }, (_, i) => Math.round(i * last / (most - 1)))
  return [...new Set(steps)]
}

// --- Where the minimum is --------------------------------------------------------------------

const dot = (a: number[], b: number[]): number => a.reduce((sum, x, i) => sum + x * b[i], 0)

/**
 * Signed distances from the minimum along the modes: the gradient is sum_i eigenvalue_i c_i v_i.
 * Of one target the magnitudes come from the excess, 1/2 eigenvalue c^2, which is exact also where
 * the gradient is nearly orthogonal; of several it is a sum over targets.
 */
export function offsets(modes: Mode[], gradient: number[], targets = 1): number[] {
  return modes.map(({ eigenvalue, excess, vector }) => {
    const along = dot(vector!, gradient)
    if (targets > 1) return along / eigenvalue
    return Math.sqrt((2 * excess) / eigenvalue) * (along < 0 ? -1 : 1)
  })
}

/**
 * start - sum_i c_i (1 - left_i) v_i: the weights after each number of steps, in the coordinates
 * of training; with nothing left they are the minimum's.
 */
export function weightsAfter(
  start: number[], modes: Mode[], offset: number[], left: number[],
): number[] {
  return start.map((w, j) =>
    w - modes.reduce((sum, mode, i) => sum + offset[i] * (1 - left[i]) * mode.vector![j], 0))
}

/** From the coordinates of training to original units, as coef and intercept. */
export function original(
  weights: number[], center: number[], scale: number[],
): { coef: number[]; intercept: number } {
  const coef = scale.map((one, j) => weights[j] / one)
  const bias = weights.length > scale.length ? weights[scale.length] : 0
  return { coef, intercept: bias - dot(coef, center) }
}

// --- Axes --------------------------------------------------------------------------------------

/** Round numbers in [low, high]: 1, 2 or 5 times a power of ten apart. */
export function ticks(low: number, high: number, about = 5): number[] {
  if (!(high > low)) return [low]
  const rough = (high - low) / about
  const power = 10 ** Math.floor(Math.log10(rough))
  const size = power * ([1, 2, 5].find(one => one * power >= rough * 0.999) ?? 10)
  const from = Math.ceil(low / size - 1e-9), to = Math.floor(high / size + 1e-9)
  return range(from, to + 1).map(i => Number((i * size).toPrecision(12)))
}

/**
 * Ticks of a logarithmic axis between values: round steps within a decade, 1-2-5 under three,
 * 1-3 under five, beyond them powers of ten, at most eight.
 */
export function logTicks(low: number, high: number): number[] {
  const from = Math.log10(low), to = Math.log10(high), decades = to - from
  if (decades < 1) {
    const plainTicks = ticks(low, high, 4).filter(value => value > 0)
    if (decades < 0.7 || plainTicks.length > 2) return plainTicks
  }
  const mantissas = decades < 3 ? [1, 2, 5] : decades < 5 ? [1, 3] : [1]
  const every = decades < 5 ? 1 : Math.max(1, Math.ceil((Math.floor(to) - Math.ceil(from) + 1) / 8))
  return range(Math.floor(from), Math.ceil(to) + 1)
    .filter(power => power % every === 0)
    .flatMap(power => mantissas.map(one => Number(`${one}e${power}`)))
    .filter(value => value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9))
}

/** Limits around values with a little room; never of no width. */
export function limits(values: Iterable<number>, room = 0.05): [number, number] {
  let low = Infinity, high = -Infinity
  for (const value of values) {
    if (!Number.isFinite(value)) continue
    if (value < low) low = value
    if (value > high) high = value
  }
  if (low > high) return [0, 1]
  const width = (high - low) * room || Math.abs(low) * 0.1 || 1
  return [low - width, high + width]
}

export const scaled = (from: [number, number], to: [number, number]) => (value: number): number =>
  to[0] + (value - from[0]) / (from[1] - from[0]) * (to[1] - to[0])

// --- Smoothing ---------------------------------------------------------------------------------

const MOST_BINS = 1000

/**
 * A local linear fit with Gaussian weights at each of `at`. Straight lines stay as they are, also
 * at the ends, which a moving mean bends; values that are not finite weigh nothing. `x` rises.
 */
export function trend(
  x: ArrayLike<number>, y: ArrayLike<number>, width: number | Width, at: ArrayLike<number>,
): Float64Array {
  const bins = binned(x, y)
  const told = new Float64Array(at.length)
  const wide: Width = typeof width === 'number' ? () => width : width
  for (let i = 0, from = 0; i < told.length; i++) {
    const here = wide(at[i])
    while (from < bins.length && bins[from].x < at[i] - 4 * here) from++
    told[i] = fitted(bins, from, at[i], here)
  }
  return told
}

/** Widths at rising places; they may not reach back farther than the one before. */
type Width = (at: number) => number

interface Bin { x: number; y: number; n: number }

function fitted(bins: Bin[], from: number, at: number, width: number): number {
  let n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0
  for (let j = from; j < bins.length && bins[j].x <= at + 4 * width; j++) {
    const d = (bins[j].x - at) / width
    const weight = bins[j].n * Math.exp(-d * d / 2)
    n += weight
    sx += weight * d
    sy += weight * bins[j].y
    sxx += weight * d * d
    sxy += weight * d * bins[j].y
  }
  if (n === 0) return bins[Math.min(from, bins.length - 1)]?.y ?? NaN // it stands alone in its gap
  const spreads = n * sxx - sx * sx
  return spreads > 1e-9 * n * n ? (sxx * sy - sx * sxy) / spreads : sy / n
}

function binned(x: ArrayLike<number>, y: ArrayLike<number>): Bin[] {
  const bins: Bin[] = []
  const size = Math.max(1, Math.ceil(x.length / MOST_BINS))
  for (let i = 0; i < x.length; i += size) {
    const bin = { x: 0, y: 0, n: 0 }
    for (let j = i; j < Math.min(i + size, x.length); j++) {
      if (!Number.isFinite(y[j])) continue
      bin.n++
      bin.x += (x[j] - bin.x) / bin.n
      bin.y += (y[j] - bin.y) / bin.n
    }
    if (bin.n) bins.push(bin)
  }
  return bins
}

/**
 * A curve of losses, smoothed by 0 to 0.95. Positive values are smoothed as logarithms, so that a
 * falling exponential stays one.
 */
export function smooth(
  x: ArrayLike<number>, y: ArrayLike<number>, amount: number,
): Float64Array {
  const raw = Float64Array.from(y)
  if (amount <= 0 || raw.length < 3) return raw
  const logs = !raw.some(value => value <= 0)
  const width = (x[x.length - 1] - x[0]) * 0.1 * amount * amount
  // Near its start a curve falls by decades within few epochs: there a window is narrow. Not at the
  // other end, where a narrowing one would draw a hook.
  const least = Math.max(x[1] - x[0], (x[x.length - 1] - x[0]) / MOST_BINS) / 2
  const narrow = (at: number) => Math.min(width, Math.max((at - x[0]) / 5, least))
  const told = trend(x, logs ? raw.map(Math.log) : raw, narrow, x)
  return told.map((value, i) => (!Number.isFinite(raw[i]) ? NaN : logs ? Math.exp(value) : value))
}
