import assert from 'node:assert/strict'
import { test } from 'node:test'
import { epochsTo, method, NO_FACTS, rateRefusal, say, scales, shrinkage } from '../src/say'
import type { Facts, Said } from '../src/say'
import type { Column, Hyperparameters, Job, Metrics } from '../src/wire'

const SGD = {
  optimizer: 'sgd', learning_rate: 0.3, momentum: 0, nesterov: false, schedule: null, max_epochs: 400,
  batch_size: null, loss: 'squared', l1: 0, l2: 0, fit_intercept: true, standardize: true, init: 'zeros',
  validation_fraction: 0, validation_dataset: null, seed: 1, dtype: 'float64',
} as Hyperparameters

const METRICS = {
  n_samples: 313, n_eval_samples: 79, epochs: 74, train_loss: 8.638, min_loss: 8.638, relative_gap: 0,
  converged: true, min_objective: 8.638,
} as Metrics

interface Changes extends Partial<Omit<Job, 'resolved_hyperparameters' | 'metrics'>> {
  of?: Partial<Hyperparameters>
  metrics?: Partial<Metrics> | null
}

function job({ of, metrics, ...rest }: Changes): Job {
  return {
    id: 'job_1', state: 'running', intent: null, stop_reason: null, error: null, attempt: 1, seed: 1,
    started_at: '2026-05-03T14:02:31Z', estimated_finish: null, queue_position: null, warnings: [],
    transitions: [{ state: 'queued', at: '', reason: 'submitted' }], model_id: null,
    progress: { epoch: 247, max_epochs: 400, fraction: 0.6175 }, spec: { dataset: 'ds_1', target: 'mpg' },
    resolved_hyperparameters: { ...SGD, ...of },
    metrics: metrics === null || metrics === undefined ? null : { ...METRICS, ...metrics },
    ...rest,
  } as Job
}

const facts = (known: Partial<Facts>): Facts => ({ ...NO_FACTS, ...known })
const train = (value: number, epoch = 247) => ({ value, epoch })
const text = ({ lead, rest }: Said) => `${lead} ${rest}`.replaceAll(/[\u2009\u202f]/g, ' ').trim()
const labels = ({ remedies }: Said) => remedies.map(({ label }) => label.replaceAll(/[\u2009\u202f]/g, ' '))
const column = (name: string, std: number, mean = 0): Column =>
  ({ name, dtype: 'float64', missing: 0, min: 0, max: 1, mean, std, distinct: 9, sample: [] })

test('queued: its place in words, then in numbers', () => {
  assert.equal(text(say(job({ state: 'queued', queue_position: 3 }))), 'Third in line. It starts when a worker is free.')
  assert.match(text(say(job({ state: 'queued', queue_position: 12 }))), /^Number 12 in line/)
  assert.match(text(say(job({ state: 'queued' }))), /^In the queue\./)
})

test('a lost worker is named, and from where the job goes on', () => {
  const transitions = ['queued', 'running', 'queued'].map((state, i) => ({ state, at: '', reason: i === 2 ? 'lease expired' : '' }))

  const said = say(job({ state: 'queued', transitions: transitions as Job['transitions'], progress: { epoch: 100, max_epochs: 400, fraction: 0.25 } }))

  assert.equal(text(said), 'Back in the queue. The worker stopped answering. The job goes on from epoch 100 (attempt 2).')
})

test('running, before the first epoch', () => {
  assert.match(text(say(job({}))), /^Starting\./)
})

test('running and falling: how far, and when one percent is reached', () => {
  const said = say(job({}), facts({ train: train(1.14), floor: 1, shrinks: 0.957 }))

  assert.equal(text(said), 'Still learning. 14 % above the lowest possible loss; at this pace 1 % is reached in about 61 epochs.')
})

test('running without a pace promises nothing', () => {
  assert.doesNotMatch(text(say(job({}), facts({ train: train(1.14), floor: 1 }))), /pace/)
})

test('almost there: noise is named for batches alone', () => {
  const near = facts({ train: train(1.0258), floor: 1 })

  assert.match(text(say(job({ of: { batch_size: 16 } }), near)), /2.58 % above the lowest possible loss; .*noise from the small batches/)
  assert.doesNotMatch(text(say(job({}), near)), /noise/)
})

test('the time left is told where it is known', () => {
  const now = Date.parse('2026-05-03T14:02:40Z')
  const known = job({ estimated_finish: '2026-05-03T14:02:45Z' })

  assert.match(text(say(known, facts({ train: train(1.1), floor: 1, now }))), /About 5.0 s left/)
  assert.doesNotMatch(text(say(job({}), facts({ train: train(1.1), floor: 1, now }))), /left/)
})

test('slow: scales are named where they differ and were not evened out', () => {
  const slow = facts({ train: train(1.41), floor: 1, shrinks: 0.99999, columns: [column('age', 1), column('income', 2000)] })

  assert.match(text(say(job({ of: { standardize: false } }), slow)), /Learning slowly: 41 % above.*2000-fold in scale, income and age/)
  assert.doesNotMatch(text(say(job({ of: { standardize: true } }), slow)), /scale/)
})

test('a minimum of nothing: the loss and the part of the first gap, nowhere a percentage of it', () => {
  const known = facts({ train: train(0.000458), floor: 1e-30, first: 15, shrinks: 0.9 })
  const none = { initial_loss: 15, min_loss: 1e-30 }

  assert.equal(text(say(job({}), known)), 'Still learning. The training loss is 0.0004580: 0.003 % of the first gap is left; at this pace 0.0001 % is reached in about 33 epochs.')
  assert.equal(text(say(job({ state: 'succeeded', stop_reason: 'converged', metrics: { ...none, train_loss: 1e-29 } }))), 'Converged after 74 epochs. The training loss is 1.000×10⁻²⁹: it fits to rounding.')
  assert.match(text(say(job({ state: 'succeeded', stop_reason: 'max_epochs', metrics: { ...none, train_loss: 0.3, converged: false } }), known)), /not converged: the training loss is 0.3000: 2 % of the first gap is left\.$/)
  const solved = { epochs: 1, initial_loss: 1e-30, train_loss: 1e-30, min_loss: 1e-30, r2: 1 }
  assert.match(text(say(job({ state: 'succeeded', stop_reason: 'solved', metrics: solved }))), /it fits to rounding/)
})

test('a loss near its lowest says nothing of weights where columns repeat each other', () => {
  const near = { train_loss: 8.68, converged: false, condition_number: 5000 }
  const ended = job({ state: 'succeeded', stop_reason: 'max_epochs', metrics: near })

  assert.equal(text(say(ended)), 'Finished after 74 epochs. 0.486 % above the lowest possible loss, but the columns nearly repeat each other: weights may still be far from those of the minimum.')
  assert.deepEqual(labels(say(ended)), ['Solve exactly'])
  assert.match(text(say(job({ ...ended, metrics: { ...near, condition_number: 23 } }))), /close to the best possible/)
  assert.match(text(say(job({ ...ended, metrics: { ...near, condition_number: 23 }, warnings: ['a and b nearly repeat each other'] }))), /but the columns nearly/)
  const running = facts({ train: train(1.005), floor: 1, condition: 1e4 })
  assert.match(text(say(job({}), running)), /^Slow along a flat direction: 0.5 % above/)
  assert.match(text(say(job({}), { ...running, condition: 900 })), /^Almost there/)
  const columns = [column('age', 1), column('income', 2000)]
  assert.match(text(say(job({ of: { standardize: false } }), { ...running, columns })), /but the columns differ 2000-fold in scale, income and age the most: weights/)
})

test('the rate of a retry is the one that the service advises', () => {
  const detail = { ...DIVERGED.detail, remedies: ['Set learning_rate to 0.35372, or to auto, which is that on this data.'] }

  assert.equal(say(job({ state: 'failed', error: { ...DIVERGED, detail } })).remedies[0]!.changes.learning_rate, 0.35372)
})

test('a loss without a known floor is told as it is', () => {
  assert.match(text(say(job({ of: { loss: 'huber' } }), facts({ train: train(2.2) }))), /2.200 at epoch 247. No lowest value is known for huber loss/)
})

test('converged', () => {
  const said = say(job({ state: 'succeeded', stop_reason: 'converged', metrics: {} }))

  assert.equal(text(said), 'Converged after 74 epochs. No line through this data does better than 8.638.')
})

test('converged with a penalty claims the objective, not the loss', () => {
  const said = say(job({ state: 'succeeded', stop_reason: 'converged', metrics: { min_objective: 12.26 }, of: { l1: 0.1 } }))

  assert.match(text(said), /lower objective, loss and penalty together, than 12.26/)
})

test('settled by tol short of the minimum says so', () => {
  const said = say(job({ state: 'succeeded', stop_reason: 'settled', metrics: { converged: false, train_loss: 10 } }))

  assert.match(text(said), /Settled after 74 epochs, short of the minimum: 15.8 % above/)
  assert.deepEqual(labels(said), ['Solve exactly'])
})

test('settled where no minimum is known does not say that it is there', () => {
  const metrics = { converged: null, min_loss: null, min_objective: null, gap: null, relative_gap: null }
  const said = say(job({ state: 'succeeded', stop_reason: 'settled', metrics, of: { loss: 'huber' } }))

  assert.match(text(said), /^Settled after 74 epochs, perhaps short of the minimum: Each step had become too small/)
})

test('solved exactly', () => {
  assert.match(text(say(job({ state: 'succeeded', stop_reason: 'solved', metrics: {}, of: { optimizer: 'exact' } }))), /^Solved exactly. No line/)
})

test('the limit of epochs, far from the minimum: on, or exactly', () => {
  const ended = job({ state: 'succeeded', stop_reason: 'max_epochs', metrics: { epochs: 1000, train_loss: 1.18, min_loss: 1, converged: false } })

  const said = say(ended, facts({ train: train(1.18, 1000), floor: 1, shrinks: 0.998 }))

  assert.equal(text(said), 'Stopped at the limit of 1000 epochs, not converged: 18 % above the lowest possible loss.')
  assert.deepEqual(labels(said), ['Continue for 1500 more', 'Solve exactly'])
  assert.equal(said.remedies[0]!.changes.init, 'job_1')
})

test('the limit of epochs, near to the minimum', () => {
  const ended = job({ state: 'succeeded', stop_reason: 'max_epochs', metrics: { epochs: 400, train_loss: 8.96, converged: false } })

  assert.match(text(say(ended)), /Finished after 400 epochs, and close to the best possible. 3.73 % above the lowest possible loss/)
})

test('overfit is told with its best epoch, and only where it is there', () => {
  const ended = job({ state: 'succeeded', stop_reason: 'converged', metrics: {} })
  const evaluation = (now: number) => facts({ evaluation: { best: { value: 11.2, epoch: 5 }, now: { value: now, epoch: 74 } } })

  assert.match(text(say(ended, evaluation(12.24))), /the best was 11.20 at epoch 5; it is 9.3 % higher now/)
  assert.doesNotMatch(text(say(ended, evaluation(11.3))), /evaluation/)
})

const DIVERGED = { code: 'diverged', message: 'm', param: null, detail: { learning_rate: 0.425, bound: 0.393, best_rate: 0.38, epoch: 287, columns: ['weight', 'horsepower'] } }

test('diverged: the bound, the columns, a rate that works', () => {
  const said = say(job({ state: 'failed', stop_reason: 'diverged', error: DIVERGED }))

  assert.match(text(said), /given up at epoch 287. The learning rate 0.425 is larger than 0.393, the largest stable rate/)
  assert.match(text(said), /weight and horsepower make the steepest direction/)
  assert.deepEqual(said.names, ['weight', 'horsepower'])
  assert.deepEqual(labels(said), ['Retry with rate 0.354', 'Retry with “auto”'])
  assert.equal(said.remedies[0]!.changes.learning_rate, 0.354)
})

test('diverged on unscaled columns: they are named and standardize comes first', () => {
  const columns = [column('age', 1), column('income', 40_000)]
  const said = say(job({ state: 'failed', error: DIVERGED, of: { standardize: false } }), facts({ columns }))

  assert.match(text(said), /because column income is 40 000 times larger than age/)
  assert.deepEqual(labels(said), ['Retry with standardize', 'Retry with rate 0.354'])
})

test('diverged without a bound names what has none', () => {
  const error = { ...DIVERGED, detail: { ...DIVERGED.detail, bound: null } }
  const said = say(job({ state: 'failed', error, of: { batch_size: 16 } }))

  assert.match(text(said), /too large for steps on batches of 16 rows/)
  assert.deepEqual(labels(said), ['Retry with rate 0.0425', 'Retry with “auto”'])
})

test('below its bound the numbers are at fault, not the rate', () => {
  const error = { ...DIVERGED, detail: { ...DIVERGED.detail, learning_rate: 0.1 } }

  assert.match(text(say(job({ state: 'failed', error }))), /below the limit of 0.393, but the numbers leave the range of float64/)
})

test('cancelled, with and without weights', () => {
  const at = { progress: { epoch: 120, max_epochs: 400, fraction: 0.3 } }

  assert.match(text(say(job({ state: 'cancelled', ...at }))), /Cancelled at epoch 120. No weights were kept/)
  assert.match(text(say(job({ state: 'cancelled', model_id: 'mdl_1', ...at }))), /The weights of epoch 120 are kept/)
  assert.equal(text(say(job({ state: 'cancelled', started_at: null }))), 'Cancelled before it started.')
  assert.match(text(say(job({ intent: 'cancel' }))), /^Cancelling/)
})

test('expired, quarantined, failed: cause and remedy', () => {
  const spec = { dataset: 'ds_1', timeout_seconds: 60 }
  assert.match(text(say(job({ state: 'expired', spec }))), /its time was over. The job may run for 60 s/)
  const error = { code: 'crashed', message: 'out of memory at 3.9 GB', param: null, detail: {} }
  assert.equal(text(say(job({ state: 'quarantined', attempt: 3, error }))), 'Stopped for good after 3 attempts that ended the worker. Out of memory at 3.9 GB.')
  assert.match(text(say(job({ state: 'failed', error: { ...error, code: 'gpu_oom' } }))), /The job failed. Out of memory/)
})

test('no sentence apologises, begs or shouts', () => {
  const states = ['queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled', 'expired', 'quarantined'] as const
  for (const state of states)
    assert.doesNotMatch(text(say(job({ state, metrics: {}, error: DIVERGED }))), /oops|please|sorry|!/i)
})

test('scales are compared among the columns that are trained on', () => {
  const columns = [column('mpg', 1e9), column('a', 1), column('b', 500), { ...column('s', 1e9), dtype: 'string' as const }]
  const unscaled = job({ of: { standardize: false } })

  assert.deepEqual(scales(unscaled, columns), { large: 'b', small: 'a', times: '500' })
  assert.equal(scales({ ...unscaled, spec: { dataset: 'ds_1', target: 'mpg', features: ['a'] } }, columns), null)
})

test('a pace is the factor of one epoch, and foretells', () => {
  const epoch = Array.from({ length: 101 }, (_, i) => i)
  const distance = epoch.map((k) => 5 * 0.9 ** k)

  assert.ok(Math.abs(shrinkage(epoch, distance)! - 0.9) < 1e-12)
  assert.equal(epochsTo(0.05, 5, 0.9), 44)
  assert.equal(epochsTo(0.05, 5, 1.01), null)
  assert.equal(shrinkage([0, 1], [1, 0]), null)
})

test('how it was trained, in words', () => {
  assert.equal(method({ ...SGD, batch_size: 16 }), 'mini-batch SGD')
  assert.equal(method({ ...SGD, momentum: 0.9, nesterov: true }), 'gradient descent with Nesterov momentum 0.9')
  assert.equal(method({ ...SGD, optimizer: 'adam', loss: 'huber' }), 'Adam, huber loss')
  assert.match(rateRefusal({ ...SGD, optimizer: 'exact' })!, /no steps/)
  assert.equal(rateRefusal(SGD), null)
})
