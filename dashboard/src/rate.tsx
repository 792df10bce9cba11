// The learning rate against its limit, and the settings that a job was trained with.
import { Card } from './controls'
import { number, percent, rateText } from './format'
import { rateRefusal } from './say'
import type { Job, Plan } from './wire'

interface RateProps {
  job: Job
  rate: number | null
  limit: number | null
  plan: { value?: Plan; error: unknown; busy: boolean }
}

const SCALE = 1.5 // limits from end to end

export function Rate({ job, rate, limit, plan }: RateProps) {
  const refused = rateRefusal(job.resolved_hyperparameters)
  return (
    <Card title="Learning rate" className="rate">
      {refused ? <p class="refusal">{rate !== null && `${rateText(rate)}. `}{refused}</p>
        : rate !== null && limit !== null ? <Gauge job={job} rate={rate} limit={limit} />
        : <p class="refusal">{rate === null ? 'It is taken from the data when training starts.' : `${rateText(rate)}. ${limitless(plan)}`}</p>}
      <Settings job={job} rate={rate} />
    </Card>
  )
}

function limitless({ error, busy }: RateProps['plan']): string {
  if (busy) return 'Its limit is being computed.'
  return error ? 'Its limit could not be computed.' : 'No limit is known for this job.'
}

function Gauge({ job, rate, limit }: { job: Job; rate: number; limit: number }) {
  const place = (value: number) => `${Math.min(value / (SCALE * limit), 0.995) * 100}%`
  const batches = job.resolved_hyperparameters.batch_size !== null
  const words = `${rateText(rate)} = ${percent(rate / limit)} of limit`
  return (
    <>
      <div class="gauge" role="img" aria-label={`${words} ${rateText(limit)}`}>
        <span class="over" style={{ left: place(limit) }} />
        <span class="limit" style={{ left: place(limit) }} />
        <span class="now" style={{ left: place(rate) }} />
      </div>
      <p class="small gauge-words"><span>{words}</span><span>limit {rateText(limit)}</span></p>
      {batches && <p class="small">The limit is that of full-batch descent; small batches may need less.</p>}
    </>
  )
}

export const Pairs = ({ of }: { of: [name: string, value: string][] }) => (
  <dl class="pairs">{of.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>
)

function Settings({ job, rate }: { job: Job; rate: number | null }) {
  const wide = matchMedia('(min-width: 641px)').matches
  return (
    <details class="settings" open={wide}>
      <summary>Settings used</summary>
      <Pairs of={settingsOf(job, rate)} />
    </details>
  )
}

function settingsOf(job: Job, rate: number | null): [string, string][] {
  const of = job.resolved_hyperparameters
  const shown: [string, unknown][] = [
    ['optimizer', of.optimizer + (of.optimizer === 'sgd' && of.batch_size === null ? ', full batch' : '')],
    ['batch_size', of.batch_size],
    ['learning_rate', of.optimizer === 'exact' || of.optimizer === 'lbfgs' ? null : rate ?? of.learning_rate],
    ['schedule', of.schedule && Object.values(of.schedule).join(', ')],
    ['momentum', of.momentum || null],
    ['nesterov', of.nesterov || null],
    ['betas', Array.isArray(of.betas) ? of.betas.join(', ') : null],
    ['weight_decay', of.weight_decay],
    ['loss', of.loss === 'squared' ? null : of.loss],
    ['huber_delta', of.huber_delta],
    ['quantile', of.quantile],
    ['standardize', of.standardize],
    ['fit_intercept', of.fit_intercept ? null : false],
    ['init', typeof of.init === 'string' ? (of.init === 'zeros' ? null : of.init.slice(0, 14)) : 'given weights'],
    ['dtype', of.dtype],
    ['l1', of.l1 || null],
    ['l2', of.l2],
    ['tol', of.tol],
    ['validation', of.validation_fraction ? percent(of.validation_fraction) : (of.validation_dataset?.slice(0, 11) ?? null)],
    ['seed', job.seed],
    ['condition number', job.metrics?.condition_number],
  ]
  return shown
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => [name, typeof value === 'number' ? written(name, value) : String(value)])
}

const written = (name: string, value: number): string => {
  if (name === 'seed') return String(value)
  if (name === 'learning_rate') return rateText(value)
  return number(value, name === 'condition number' ? 3 : name === 'tol' ? 1 : 4)
}
