// Every sentence that is said about a job. Pure: what it says follows from its arguments alone.
// Number, cause, remedy; a cause is named only where it was found.
import { above, firstLoss } from './above'
import type { Above } from './above'
import { duration, integer, number, percent, plural, rateText, trimmed } from './format'
import type { Lowest } from './curve'
import type { Column, Hyperparameters, Job } from './wire'

export interface Remedy {
  label: string
  /** Changed settings of the new job. */
  changes: Partial<Hyperparameters>
  primary?: boolean
}

export interface Said {
  tone: 'plain' | 'bad' | 'warn'
  lead: string
  rest: string
  /** Column names within `rest`, to be set in bold. */
  names?: string[]
  remedies: Remedy[]
}

/** What the page knows beside the job's row. */
export interface Facts {
  train: Lowest | null
  evaluation: { best: Lowest; now: Lowest } | null
  /** The lowest possible training loss; null where none is known. */
  floor: number | null
  /** The loss before the first step. */
  first: number | null
  condition: number | null
  /** By which factor the distance to the floor shrinks in an epoch, of late. */
  shrinks: number | null
  epochsPerSecond: number | null
  columns: Column[]
  now: number
}

export const NO_FACTS: Facts = {
  train: null, evaluation: null, floor: null, first: null, condition: null, shrinks: null, epochsPerSecond: null, columns: [], now: 0,
}

const FLAT = 1000 // condition number from which on a small gap says little of the weights
const OVERFIT = 0.02
const SLOW_EPOCHS = 10 // times the epochs that are left
const UNSCALED = 100 // ratio of two columns' deviations

/** Say how a job stands, how far it is from the best possible, and what to do next. */
export function say(job: Job, facts: Facts = NO_FACTS): Said {
  switch (job.state) {
    case 'queued':
      return queued(job)
    case 'running':
      return job.intent === 'cancel'
        ? plain('Cancelling.', 'The worker stops after the epochs it is at.')
        : running(job, facts)
    case 'paused':
      return plain(`Paused at epoch ${integer(job.progress.epoch)}.`, 'Nothing is lost; Resume continues from there.')
    case 'succeeded':
      return succeeded(job, facts)
    case 'failed':
      return job.error?.code === 'diverged' ? diverged(job, facts) : failed(job)
    case 'cancelled':
      return cancelled(job)
    case 'expired':
      return bad(
        `Stopped at epoch ${integer(job.progress.epoch)}: its time was over.`,
        `The job may run for ${duration(job.spec.timeout_seconds)}; give it a larger timeout_seconds, or fewer epochs.`,
      )
    case 'quarantined':
      return bad(
        `Stopped for good after ${plural(job.attempt, 'attempt')} that ended the worker.`,
        sentence(job.error?.message ?? ''),
      )
  }
}

const ORDINALS = ['Next', 'Second', 'Third', 'Fourth', 'Fifth', 'Sixth', 'Seventh', 'Eighth', 'Ninth', 'Tenth']

function queued(job: Job): Said {
  const place = job.queue_position
  const lost = job.transitions.slice(1).filter(({ state }) => state === 'queued').at(-1)
  const rest = 'It starts when a worker is free.'
  if (lost)
    return plain(
      'Back in the queue.',
      `${sentence(reasons[lost.reason] ?? lost.reason)} The job goes on from epoch ${integer(job.progress.epoch)} (attempt ${job.attempt + 1}).`,
    )
  if (!place) return plain('In the queue.', rest)
  const word = ORDINALS[place - 1]
  return plain(word ? `${word} in line.` : `Number ${integer(place)} in line.`, rest)
}

const reasons: Record<string, string> = {
  drained: 'The worker was shut down in order',
  'lease expired': 'The worker stopped answering',
}

function running(job: Job, facts: Facts): Said {
  const { train, floor } = facts
  const left = timeLeft(job, facts)
  if (!train) return plain('Starting.', 'The first epochs are under way.')
  const far = floor === null ? null : above(train.value - floor, floor, facts.first)
  if (!far) return unbounded(job, facts, left)
  if (far.near) {
    const but = flat(job, facts)
    if (but) return plain('Slow along a flat direction:', `${far.long}, but ${but}.${left}`)
    const noise = job.resolved_hyperparameters.batch_size !== null
    return plain('Almost there.', `${upper(far.long)}${noise ? '; what is left is noise from the small batches' : ''}.${left}`)
  }
  const epochs = epochsTo(far.goal, train.value - floor!, facts.shrinks)
  const remain = job.progress.max_epochs - train.epoch
  if (epochs === null || epochs > SLOW_EPOCHS * Math.max(remain, 1)) {
    const cause = scales(job, facts.columns)
    if (cause) return plain('Learning slowly:', `${far.long}. ${uneven(cause)}`)
  }
  const pace = epochs === null ? '' : `; at this pace ${far.wanted} is reached in about ${integer(round2(epochs))} epochs`
  return plain('Still learning.', `${upper(far.long)}${pace}.${left}`)
}

/** Why the weights may be far from the minimum's though the loss is not; empty: nothing says so. */
function flat(job: Job, facts: Facts): string {
  const { l1, l2 } = job.resolved_hyperparameters
  const condition = job.metrics?.condition_number ?? facts.condition ?? 0
  if (l1 > 0 || l2 > 0 || !(condition > FLAT || job.warnings.some((text) => /repeat/.test(text)))) return ''
  const cause = scales(job, facts.columns)
  return `${cause ? differ(cause) : 'the columns nearly repeat each other'}: weights may still be far from those of the minimum`
}

/** Where no floor is known there is only the curve itself. */
function unbounded(job: Job, { train, floor }: Facts, left: string): Said {
  const of = job.resolved_hyperparameters
  const why = floor === null && of.loss !== 'squared' ? ` No lowest value is known for ${of.loss} loss.` : ''
  return plain('Still learning.', `The training loss is ${number(train!.value)} at epoch ${integer(train!.epoch)}.${why}${left}`)
}

function timeLeft(job: Job, { now }: Facts): string {
  if (!job.estimated_finish || !now) return ''
  const seconds = (new Date(job.estimated_finish).getTime() - now) / 1000
  return seconds < 1 ? '' : ` About ${duration(seconds)} left.`
}

function succeeded(job: Job, facts: Facts): Said {
  const { metrics } = job
  const lines = 'No line through this data does better than'
  const floor = facts.floor ?? metrics?.min_loss ?? null
  const loss = metrics?.train_loss ?? facts.train?.value ?? null
  const far = floor === null || loss === null ? null : above(loss - floor, floor, metrics ? firstLoss(metrics) : facts.first)
  const but = flat(job, facts)
  const penalized = job.resolved_hyperparameters.l1 > 0 || job.resolved_hyperparameters.l2 > 0
  const epochs = plural(metrics?.epochs ?? job.progress.epoch, 'epoch')
  const over = overfit(facts)
  const least = far?.vanishes ? `${upper(far.long)}.` : `${lines} ${number(floor ?? loss)}.`
  if (job.stop_reason === 'solved') return plain('Solved exactly.', penalized ? best(job) : least)
  if (job.stop_reason === 'target_gap')
    return near(job, `Stopped after ${epochs}, as near to the minimum as was asked.`, far, but, over)
  if (job.stop_reason === 'converged')
    return plain(`Converged after ${epochs}.`, (penalized ? best(job) : least) + over)
  if (job.stop_reason === 'settled')
    return warn(`Settled after ${epochs}, ${far ? '' : 'perhaps '}short of the minimum:`,
      `${far ? `${far.long}. ` : ''}Each step had become too small to go on.`, [exactly(job)])
  if (far && !far.near) return short(job, facts, far)
  if (!far) return plain(`Finished after ${epochs}.`, `The training loss is ${number(loss)}.${over}`)
  return near(job, `Finished after ${epochs}${but ? '.' : ', and close to the best possible.'}`, far, but, over)
}

/** The loss is near its lowest; whether the weights are is another question. */
function near(job: Job, lead: string, far: Above | null, but: string, over: string): Said {
  if (!far) return plain(lead, over)
  if (but) return warn(lead, `${upper(far.long)}, but ${but}.${over}`, [exactly(job)])
  return plain(lead, `${upper(far.long)}.${over}`)
}

function short(job: Job, facts: Facts, far: Above): Said {
  const epochs = job.metrics?.epochs ?? job.progress.epoch
  const distance = (facts.train?.value ?? 0) - (facts.floor ?? 0)
  const more = epochsTo(far.goal, distance, facts.shrinks)
  const some = Math.min(10_000_000, more === null || more > 100 * epochs ? epochs : upwards(more))
  const cause = scales(job, facts.columns)
  return warn(
    `Stopped at the limit of ${integer(epochs)} epochs, not converged:`,
    `${far.long}.${cause ? ` ${uneven(cause)}` : ''}`,
    [
      ...(cause ? [{ label: 'Retry with standardize', changes: { standardize: true, learning_rate: 'auto' as const }, primary: true }] : []),
      { label: `Continue for ${integer(some)} more`, changes: { init: job.id, max_epochs: some, seed: job.seed }, primary: !cause },
      exactly(job),
    ].filter((one): one is Remedy => one !== null),
  )
}

const best = ({ metrics }: Job): string =>
  `No weights give a lower objective, loss and penalty together, than ${number(metrics?.min_objective ?? metrics?.objective)}.`

function overfit({ evaluation }: Facts): string {
  if (!evaluation) return ''
  const { best, now } = evaluation
  const worse = now.value / best.value - 1
  if (!(worse > OVERFIT)) return ''
  return ` On the evaluation rows the best was ${number(best.value)} at epoch ${integer(best.epoch)}; it is ${percent(round2(worse))} higher now, so fewer epochs would do.`
}

/** Settings with which the minimum itself is computed; null where there is none to compute. */
function exactly(job: Job): Remedy | null {
  const { loss, l1, l2, fit_intercept, standardize, validation_fraction, validation_dataset } = job.resolved_hyperparameters
  if (loss !== 'squared') return null
  return { label: 'Solve exactly', changes: { ...only({ l1, l2, fit_intercept, standardize, validation_fraction, validation_dataset }), optimizer: 'exact', seed: job.seed } }
}

// A job that takes these alone: what the other optimizer does not read would be refused.
const only = (settings: Partial<Hyperparameters>): Partial<Hyperparameters> => ({ ...settings, learning_rate: 'auto' })

interface Divergence {
  learning_rate: number | null
  bound: number | null
  epoch: number
  columns: string[]
  remedies?: string[]
}

/** The rate that the service itself advises: its words and the button say the same. */
function advised({ remedies = [] }: Divergence): number | null {
  return Number(/^Set learning_rate to ([\d.e+-]*\d)/.exec(remedies[0] ?? '')?.[1] ?? 0) || null
}

function diverged(job: Job, facts: Facts): Said {
  const found = job.error!.detail as unknown as Divergence
  const of = job.resolved_hyperparameters
  const lead = `The loss grew without limit and was given up at epoch ${integer(found.epoch)}.`
  const rate = found.learning_rate
  const auto: Remedy = { label: 'Retry with “auto”', changes: { learning_rate: 'auto' } }
  if (rate === null) return { ...bad(lead, sentence(job.error!.message)), remedies: [] }
  if (found.bound === null || rate < found.bound) {
    const why = of.batch_size === null ? '' : ` for steps on batches of ${integer(of.batch_size)} rows: a batch may curve far more than all rows together`
    const rest = found.bound === null
      ? `The learning rate ${rateText(rate)} is too large${why}.`
      : `The learning rate ${rateText(rate)} is below the limit of ${rateText(found.bound)}, but the numbers leave the range of ${of.dtype}.`
    return { ...bad(lead, rest), remedies: [atRate(advised(found) ?? round3(rate / 10)), auto] }
  }
  const slower = atRate(advised(found) ?? round3(0.9 * found.bound))
  const names = found.columns.slice(0, 3)
  const limit = `The learning rate ${rateText(rate)} is larger than ${rateText(found.bound)}, the largest stable rate for this table. Above it every step overshoots the minimum by more than the last one.`
  const cause = scales(job, facts.columns)
  if (cause)
    return {
      ...bad(lead, `${limit} The limit is this small because column ${cause.large} is ${cause.times} times larger than ${cause.small}.`),
      names: [cause.large, cause.small],
      remedies: [
        { label: 'Retry with standardize', changes: { standardize: true, learning_rate: 'auto' }, primary: true },
        { ...slower, primary: false },
      ],
    }
  const made = `${list(names)} ${names.length === 1 ? 'makes' : 'make'} the steepest direction.`
  return { ...bad(lead, `${limit} ${made}`), names, remedies: [slower, auto] }
}

const atRate = (rate: number): Remedy =>
  ({ label: `Retry with rate ${trimmed(rate, 5)}`, changes: { learning_rate: rate }, primary: true })

function failed(job: Job): Said {
  return bad('The job failed.', sentence(job.error?.message ?? ''))
}

function cancelled(job: Job): Said {
  const { epoch } = job.progress
  if (!job.started_at) return plain('Cancelled before it started.', '')
  const kept = job.model_id ? `The weights of epoch ${integer(epoch)} are kept.` : 'No weights were kept.'
  return plain(`Cancelled at epoch ${integer(epoch)}.`, `${kept} Its curve stays.`)
}

interface Scales {
  large: string
  small: string
  times: string
}

/** Find two columns whose sizes make descent slow; null where their scales are alike. */
export function scales(job: Job, columns: Column[]): Scales | null {
  if (job.resolved_hyperparameters.standardize) return null
  const sized = bySize(columns, job)
  const [small, large] = [sized[0], sized.at(-1)]
  const times = small && large ? large.size / small.size : 1
  if (!small || !large || !(times > UNSCALED)) return null
  return { large: large.name, small: small.name, times: integer(Number(times.toPrecision(2))) }
}

const differ = ({ large, small, times }: Scales): string =>
  `the columns differ ${times}-fold in scale, ${large} and ${small} the most`

const uneven = (cause: Scales): string => `${upper(differ(cause))}; with standardize they do not.`

function bySize(columns: Column[], job: Job): { name: string; size: number }[] {
  const targets = [job.spec.target].flat()
  return columns
    .filter(({ name, dtype, std }) => dtype !== 'string' && std && !targets.includes(name))
    .filter(({ name }) => !job.spec.features || job.spec.features.includes(name))
    .map(({ name, std, mean }) => ({ name, size: Math.hypot(std!, mean ?? 0) }))
    .sort((a, b) => a.size - b.size)
}

/** How many epochs bring a distance down to a smaller one, each shrinking it by a factor. */
export function epochsTo(wanted: number, distance: number, shrinks: number | null): number | null {
  if (shrinks === null || !(shrinks > 0 && shrinks < 1) || !(wanted > 0)) return null
  if (distance <= wanted) return 0
  const epochs = Math.ceil(Math.log(wanted / distance) / Math.log(shrinks))
  return epochs < 1e9 ? epochs : null
}

/** The factor of one epoch between two distances so many epochs apart. */
export function shrinkage(epoch: ArrayLike<number>, distance: ArrayLike<number>): number | null {
  const last = epoch.length - 1
  const from = Math.floor(last * 0.7)
  const [a, b] = [distance[from], distance[last]]
  const between = epoch[last]! - epoch[from]!
  if (!(between >= 2) || !(a! > 0) || !(b! > 0)) return null
  return Math.exp(Math.log(b! / a!) / between)
}

/** Say why the rate has no limit to be shown against. */
export function rateRefusal(of: Hyperparameters): string | null {
  switch (of.optimizer) {
    case 'exact':
      return 'The exact solution takes no steps: there is no rate.'
    case 'lbfgs':
      return 'L-BFGS finds its own step lengths: there is no rate.'
    case 'adam':
    case 'adamw':
      return `No limit: ${of.optimizer === 'adam' ? 'Adam' : 'AdamW'} steps by about the rate in every coordinate, whatever the gradient.`
  }
  if (of.loss === 'absolute' || of.loss === 'quantile')
    return `No limit: steps under ${of.loss} loss are as long near the minimum as far from it.`
  return null
}

/** How it was trained, in words: mini-batch SGD, gradient descent with momentum 0.9. */
export function method(of: Hyperparameters): string {
  const momentum = of.momentum ? ` with ${of.nesterov ? 'Nesterov ' : ''}momentum ${of.momentum}` : ''
  const name = { adam: 'Adam', adamw: 'AdamW', lbfgs: 'L-BFGS', exact: 'exact solution' }[of.optimizer]
  const loss = of.loss === 'squared' ? '' : `, ${of.loss} loss`
  if (name) return `${of.batch_size === null ? '' : 'mini-batch '}${name}${loss}`
  return `${of.batch_size === null ? 'gradient descent' : 'mini-batch SGD'}${momentum}${loss}`
}

/** Describe a curve to who cannot see it. */
export function curveSummary(train: Lowest | null, first: number | null, best: Lowest | null): string {
  if (!train || first === null || !best) return 'No points yet.'
  const way = train.value <= first ? 'falls' : 'grows'
  return `It ${way} from ${number(first, 3)} to ${number(train.value, 3)}; the lowest is ${number(best.value, 3)} at epoch ${integer(best.epoch)}.`
}

const round2 = (value: number): number => Number(value.toPrecision(2))
/** Round up to two digits. */
export const upwards = (whole: number): number => {
  const size = 10 ** Math.max(0, Math.floor(Math.log10(whole)) - 1)
  return Math.ceil(whole / size) * size
}
const round3 = (value: number): number => Number(value.toPrecision(3))

function list(names: string[]): string {
  return names.length < 2 ? (names[0] ?? '') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
}

const upper = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)

function sentence(text: string): string {
  const begun = upper(text)
  return /[.!?]$/.test(begun) || !begun ? begun : `${begun}.`
}

function plain(lead: string, rest: string): Said {
  return { tone: 'plain', lead, rest, remedies: [] }
}

function bad(lead: string, rest: string): Said {
  return { tone: 'bad', lead, rest, remedies: [] }
}

function warn(lead: string, rest: string, remedies: (Remedy | null)[]): Said {
  return { tone: 'warn', lead, rest, remedies: remedies.filter((one): one is Remedy => one !== null) }
}
