// What the lesson says and draws, out of a server's gradients: no DOM, no network.
import { number, percent, plural } from './format'
import * as math from './math'
import type { Method, Mode, Quadratic } from './math'
import type { Gradients, Hyperparameters, Job, JobSpec, Weights } from './wire'

export interface Lesson {
  told: Gradients
  of: Quadratic
  /** Signed distances from the minimum along the modes, for the target that is looked at. */
  offset: number[]
  target: number
}

export function lessonOf(told: Gradients, target = 0): Lesson | null {
  if (!told.minimum || !told.modes.length || !told.modes[0]!.vector) return null
  const of = { modes: told.modes, floor: told.minimum.objective, unreachable: told.unreachable }
  const offset = math.offsets(told.modes, told.by_hand[target]!, told.targets.length)
  return { told, of, offset, target }
}

// What gradient descent on the same rows reads of a job's settings.
const KEPT = ['l2', 'fit_intercept', 'standardize', 'init', 'validation_fraction', 'validation_dataset', 'dtype'] as const

/** Ask for the gradient where a job started, on the rows that it trained on. */
export function specOfJob(job: Job): JobSpec {
  const { dataset, target, features, weight, missing, categorical } = job.spec
  const used = job.resolved_hyperparameters
  const kept = Object.fromEntries(KEPT.map((name) => [name, used[name]]))
  return {
    dataset: typeof dataset === 'string' ? dataset : job.dataset_id,
    target, features, weight, missing, categorical,
    hyperparameters: { ...kept, seed: job.seed },
  }
}

/** Say why a job's course is not the exact curve; null: it is. */
export function notExact(h: Hyperparameters): string | null {
  const names: Record<string, string> = { adam: 'Adam', adamw: 'AdamW', lbfgs: 'L-BFGS', exact: 'the exact solution' }
  const beside = 'Below is what it did, with gradient descent beside it.'
  const only = 'The exact curve exists for squared loss and gradient descent.'
  if (h.loss !== 'squared') return `${only} This job used ${h.loss} loss, whose surface is no bowl of one curvature.`
  if (h.optimizer === 'exact') return `${only} This job solved for the minimum and took no steps.`
  if (h.optimizer !== 'sgd') return `${only} This job used ${names[h.optimizer] ?? h.optimizer}. ${beside}`
  if (h.batch_size !== null) return `${only} This job used mini-batches of ${h.batch_size} rows, drawn by chance. ${beside}`
  if (h.l1 > 0) return `${only} This job had an l1 penalty, which has a corner. ${beside}`
  if (h.schedule && h.schedule.type !== 'constant') return `${only} This job's rate fell (${h.schedule.type}). ${beside}`
  return null
}

export const methodOf = (h: Hyperparameters, rate: number): Method =>
  ({ rate, momentum: h.momentum ?? 0, nesterov: h.nesterov ?? false })

export interface Verdict {
  word: 'Converges' | 'Swings for ever' | 'Diverges' | 'Stays'
  text: string
}

/** Say what happens at a rate: word, cause, number. */
export function verdict(of: Quadratic, method: Method): Verdict {
  const decays = of.modes.map((mode) => math.decay(mode.eigenvalue, method))
  const steepest = decays[0]!, slowest = Math.max(...decays)
  const edge = Math.abs(slowest - 1) < 1e-9 && steepest >= slowest
  if (of.modes.every((mode) => mode.excess === 0)) return { word: 'Stays', text: 'The start is the minimum: no step moves it.' }
  if (edge) return { word: 'Swings for ever', text: 'This is the limit: along the steepest direction each step lands as far away on the other side.' }
  if (slowest > 1)
    return {
      word: 'Diverges',
      text: `Each step multiplies the error along the steepest direction by ${number(slowest, 3)}, so in the end ` +
        `the loss grows by ${percent(slowest * slowest - 1)} per step.`,
    }
  const flat = of.unreachable > 0 ? ' Some directions are flat: no step moves along them.' : ''
  const steps = math.stepsTo(of, method, 0.01)
  const near = steps === null
    ? 'the excess loss never falls below 1 % of its start'
    : `${plural(steps, 'step')} ${steps === 1 ? 'brings' : 'bring'} the excess loss below 1 % of its start`
  const shrinks = slowest > 0.995
    ? `Each step takes ${percent(1 - slowest)} off the error of the slowest direction`
    : `Each step shrinks the slowest direction to ${percent(slowest)} of its error`
  return { word: 'Converges', text: `${shrinks}; ${near}.${flat}` }
}

/** What is at step k: weights in the coordinates of training, and the gradient there. */
export function stepAt({ told, of, offset, target }: Lesson, method: Method, k: number) {
  const left = of.modes.map((mode) => math.remaining(mode.eigenvalue, method, [k])[0]!)
  const weights = math.weightsAfter(told.weights[target]!, of.modes, offset, left)
  const gradient = weights.map((_, j) =>
    of.modes.reduce((sum, mode, i) => sum + mode.eigenvalue * offset[i]! * left[i]! * mode.vector![j]!, 0))
  return { weights, gradient, loss: math.course(of, method, [k])[0]! }
}

/** The same point in original units, for the server: it is asked for the gradient there. */
export function initAt(lesson: Lesson, method: Method, k: number): Weights | null {
  const { told } = lesson
  const each = told.targets.map((_, target) => {
    const one = target === lesson.target ? lesson : lessonOf(told, target)!
    return math.original(stepAt(one, method, k).weights, told.center, told.scale)
  })
  if (each.some(({ coef, intercept }) => ![...coef, intercept].every((one) => Math.abs(one) < 1e150))) return null
  const fitted = told.parameters.length > told.center.length
  return {
    coef: each.map((one) => one.coef),
    intercept: fitted ? each.map((one) => one.intercept) : null,
    features: told.parameters.slice(0, told.center.length),
  }
}

/** Steps shown at first: what the fastest rate needs, with room to see slower ones. */
export function horizonOf(of: Quadratic, method: Method): number {
  const needed = math.stepsTo(of, method, 0.01) ?? 60
  return HORIZONS.find((one) => one >= 2.5 * needed) ?? HORIZONS[HORIZONS.length - 1]!
}

export const HORIZONS = [20, 60, 200, 1000, 10_000, 100_000, 1_000_000]

/** The largest difference of a recorded history from the curve, as a part of what was recorded. */
export function disagreement(recorded: ArrayLike<number>, curve: ArrayLike<number>): number {
  let most = 0
  for (let i = 0; i < recorded.length; i++)
    if (Number.isFinite(recorded[i]!)) most = Math.max(most, Math.abs(curve[i]! - recorded[i]!) / Math.abs(recorded[i]!))
  return most
}

// --- Names -------------------------------------------------------------------------------------

/** Short names of the parameters: w and b of one column, else the columns' own. */
export function symbols(parameters: string[]): string[] {
  const columns = parameters.filter((name) => name !== '(intercept)')
  return parameters.map((name) => (name === '(intercept)' ? 'b' : columns.length === 1 ? 'w' : name))
}

export function equation(told: Gradients, target = 0): string {
  const names = symbols(told.parameters)
  const terms = told.parameters.map((name, j) =>
    name === '(intercept)' ? 'b' : names[j] === 'w' ? `w · ${name}` : `w${subscript(j + 1)} · ${name}`)
  const shown = terms.length > 6 ? [...terms.slice(0, 3), '…', ...terms.slice(-1)] : terms
  return `${told.targets[target]} = ${shown.join(' + ')}`
}

const subscript = (n: number) => [...String(n)].map((digit) => '₀₁₂₃₄₅₆₇₈₉'[Number(digit)]).join('')

/** What a mode is mostly made of. */
export function namesOf(mode: Mode, parameters: string[]): string {
  const names = symbols(parameters)
  const parts = mode.vector!.map((part, j) => ({ name: names[j]!, part: part * part })).sort((a, b) => b.part - a.part)
  const shown = parts.slice(0, 2).filter(({ part }) => part > 0.15)
  return shown.map(({ name }) => name).join(', ')
}

// --- The surface -------------------------------------------------------------------------------

type Place = [number, number]

export type Surface =
  | { kind: 'parabola'; at: number; minimum: number; eigenvalue: number; floor: number }
  | { kind: 'bowl'; start: Place; minimum: Place; modes: number[]; rest: string }
  | { kind: 'plane'; steep: number; flat: number; share: number; directions: number }
  | { kind: 'none' }

/** How the loss surface can be drawn: exactly for one and two parameters, else along two modes. */
export function surfaceOf(lesson: Lesson): Surface {
  const { told, of, offset, target } = lesson
  const start = told.weights[target]!
  const [first] = of.modes
  if (told.targets.length > 1 || !first) return { kind: 'none' }
  const minimum = math.weightsAfter(start, of.modes, offset, of.modes.map(() => 0))
  if (start.length === 1)
    return { kind: 'parabola', at: start[0]!, minimum: minimum[0]!, eigenvalue: first.eigenvalue, floor: of.floor }
  // Standardized columns have a mean of 0: the intercept is a direction of its own, and the other
  // two parameters move in a plane that needs nothing of it.
  const inPlane = math.range(0, of.modes.length).filter((i) => start.length === 2 || Math.abs(of.modes[i]!.vector![2]!) < 1e-9)
  if (start.length === 2 || (start.length === 3 && of.modes.length === 3 && inPlane.length === 2))
    return {
      kind: 'bowl', modes: inPlane, rest: start.length === 3 ? '; b goes its own way' : '',
      start: [start[0]!, start[1]!], minimum: [minimum[0]!, minimum[1]!],
    }
  if (of.modes.length < 2) return { kind: 'none' }
  const last = of.modes[of.modes.length - 1]!
  const all = of.modes.reduce((sum, mode) => sum + mode.excess, 0)
  const share = all > 0 ? (first.excess + last.excess) / all : 0
  return { kind: 'plane', steep: first.excess, flat: last.excess, share, directions: of.modes.length }
}

/** The floor in words: what is left of rounding where it is 0. */
export const small = (of: Quadratic): string =>
  number(of.floor < 1e-14 * of.modes.reduce((sum, mode) => sum + mode.excess, of.unreachable) ? 0 : of.floor)

/** How much longer than wide the valley is. */
export const stretch = (of: Quadratic): number =>
  Math.sqrt(math.largest(of.modes) / math.smallest(of.modes))

// --- The same in PyTorch -------------------------------------------------------------------------

const py = (value: number) => (Number.isInteger(value) ? value.toFixed(1) : String(Number(value.toPrecision(6))))
const list = (values: number[]) => `[${values.slice(0, 6).map(py).join(', ')}${values.length > 6 ? ', …' : ''}]`

/** The lines of a training loop in PyTorch, with what they hold at step k. */
export function pytorch(lesson: Lesson, method: Method, k: number): string {
  const { told, target } = lesson
  const now = stepAt(lesson, method, k), next = stepAt(lesson, method, k + 1)
  const fitted = told.parameters.length > told.center.length
  const columns = told.center.length
  const options = [`lr=${String(method.rate)}`, method.momentum && `momentum=${method.momentum}`, method.nesterov && 'nesterov=True']
  const weights = now.weights.slice(0, columns)
  const gradient = `weight.grad = ${list(now.gradient.slice(0, columns))}` +
    (fitted ? `, bias.grad = ${py(now.gradient[columns]!)}` : '')
  const after = `weight = ${list(next.weights.slice(0, columns))}` + (fitted ? `, bias = ${py(next.weights[columns]!)}` : '')
  const whole = told.n_samples === told.samples.length
  const all = (values: number[]) => `[${values.map(py).join(', ')}]`
  const tensor = (rows: string[]) => `torch.tensor([${rows.join(', ')}], dtype=torch.${told.dtype})`
  const rows = told.samples.length ? [
    ...(whole ? [] : [`# The first ${told.samples.length} of ${told.n_samples} rows: put all of them here. What stands behind # is of all.`]),
    `X = ${tensor(told.samples.map(({ x }) => all(x)))}`,
    `y = ${tensor(told.samples.map(({ actual }) => all([actual[target]!])))}`,
  ] : ["X, y = torch.load('rows.pt')  # all rows, as tensors"]
  return [
    'import torch',
    '',
    `# X: ${told.parameters.slice(0, Math.min(4, columns)).join(', ')}${columns > 4 ? ', …' : ''}` +
      (told.coordinates === 'standardized' ? ', each as (x - mean) / standard deviation' : '') + `; y: ${told.targets[target]}`,
    ...rows,
    `model = torch.nn.Linear(${columns}, 1${fitted ? '' : ', bias=False'}, dtype=torch.${told.dtype})`,
    'with torch.no_grad():',
    `    model.weight.copy_(${tensor([all(weights)])})`,
    ...(fitted ? [`    model.bias.copy_(${tensor([py(now.weights[columns]!)])})`] : []),
    `optimizer = torch.optim.SGD(model.parameters(), ${options.filter(Boolean).join(', ')})`,
    ...(method.momentum && k ? [`# The sum of ${k} earlier gradients, which momentum adds, is not set here.`] : []),
    '',
    `loss = torch.nn.functional.mse_loss(model(X), y)   # ${py(now.loss)}`,
    'optimizer.zero_grad()',
    `loss.backward()                                    # ${gradient}`,
    `optimizer.step()                                   # ${after}`,
  ].join('\n')
}
