// What a plan says, and what it advises. Pure.
import { bytes, duration, integer, number, plural, rateText } from './format'
import { upwards } from './say'
import type { Settings } from './spec'
import type { Plan } from './wire'

/** Plans that jobs were started by: what they told of the rate is known before a worker is free. */
export const foreseen = new Map<string, Plan>()

const NEAR = 1e-3
const MOST_EPOCHS = 10_000_000

/** Say in a sentence what would happen. */
export function sayPlan(plan: Plan, settings: Settings): string {
  const { stability_bound: bound, learning_rate: rate } = plan
  if (settings.optimizer === 'exact') return `Solves for the minimum at once${took(plan)}. The lowest possible loss is ${number(plan.min_loss)}.`
  const limits = bound === null ? '' : ` Stable below rate ${rateText(bound)}${rate === null ? '' : `; ${(settings.learning_rate ?? 'auto') === 'auto' ? '“auto” uses' : 'this is'} ${rateText(rate)}`}.`
  if (plan.diverges) return `Diverges.${limits}`
  if (plan.epochs_refused) return `How many epochs it takes cannot be told: ${plan.epochs_refused}.${limits}`
  const near = nearAfter(plan)
  if (near === null) return `Never comes near the lowest possible loss.${limits}`
  const way = '99.9 % of the way to the lowest possible loss'
  if (near > mostOf(settings))
    return `Stops before the minimum is near: ${way} takes ${plural(near, 'epoch')}, max_epochs is ${integer(mostOf(settings))}.${limits}`
  return `Converges: ${plural(near, 'epoch')} ${near === 1 ? 'goes' : 'go'} ${way}${took(plan)}.${limits}`
}

/** A max_epochs with which the minimum is near; null where this one does, or none can. */
export function enoughEpochs(plan: Plan, settings: Settings): number | null {
  const near = plan.diverges || plan.epochs_refused || settings.optimizer === 'exact' ? null : nearAfter(plan)
  return near !== null && near > mostOf(settings) && near <= MOST_EPOCHS ? Math.min(MOST_EPOCHS, upwards(near)) : null
}

const nearAfter = (plan: Plan) => plan.epochs_to_gap.find((one) => one.gap === NEAR)?.epochs ?? null
const mostOf = (settings: Settings) => Number(settings.max_epochs ?? 1000)
const took = ({ seconds }: Plan) => (seconds === null ? '' : ` (${duration(seconds)})`)

export function factsOf(plan: Plan): string[] {
  const rows = plan.n_eval_samples ? `${integer(plan.n_samples)} + ${integer(plan.n_eval_samples)} rows` : plural(plan.n_samples, 'row')
  return [
    rows, `${plural(plan.n_columns, 'column')} after encoding`,
    plan.condition_number === null ? '' : `condition number ${number(plan.condition_number, 3)}`,
    plan.rank === null ? '' : `rank ${plan.rank} of ${plan.n_columns}`,
    `memory ${bytes(plan.memory_bytes)}`, `engine ${plan.engine} on ${plan.device}`,
  ].filter(Boolean)
}
