import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as lesson from '../src/lesson'
import { limit, plain } from '../src/math'
import type { Gradients, Hyperparameters, Job } from '../src/wire'
import courses from './courses.json'

const NOTEBOOK = courses.notebook

const TOLD = {
  coordinates: 'original', parameters: ['x', '(intercept)'], targets: ['y'], center: [0], scale: [1],
  n_samples: 3, samples: [{ x: [1], actual: [2], predicted: [0] }], dtype: 'float64',
  weights: NOTEBOOK.weights, by_hand: NOTEBOOK.gradient, loss: 18.7, objective: 18.7,
  minimum: NOTEBOOK.minimum, modes: NOTEBOOK.modes, unreachable: 0,
} as unknown as Gradients
const LESSON = lesson.lessonOf(TOLD)!
const SGD = { optimizer: 'sgd', loss: 'squared', batch_size: null, l1: 0, schedule: null } as Hyperparameters

test('a rate below the limit converges, with the number of steps', () => {
  const { word, text } = lesson.verdict(LESSON.of, plain(0.16))

  assert.equal(word, 'Converges')
  assert.match(text, /slowest direction to 96\.2.% of its error; 10 steps bring/)
})

test('a slow rate is told by what it takes off', () => {
  assert.match(lesson.verdict(LESSON.of, plain(0.001)).text, /takes 0\.024. % off the error of the slowest|takes 0\.024.%/)
})

test('a rate above the limit diverges, by how much', () => {
  const { word, text } = lesson.verdict(LESSON.of, plain(1.05 * limit(LESSON.of.modes)))

  assert.equal(word, 'Diverges')
  assert.match(text, /multiplies the error along the steepest direction by 1\.10/)
})

test('the limit itself swings for ever', () => {
  assert.equal(lesson.verdict(LESSON.of, plain(limit(LESSON.of.modes))).word, 'Swings for ever')
})

test('a flat direction is told', () => {
  assert.match(lesson.verdict({ ...LESSON.of, unreachable: 3 }, plain(0.1)).text, /flat: no step moves/)
})

test('a start at the minimum stays', () => {
  const still = { ...LESSON.of, modes: LESSON.of.modes.map((mode) => ({ ...mode, excess: 0 })) }

  assert.equal(lesson.verdict(still, plain(0.1)).word, 'Stays')
})

for (const [name, settings, words] of [
  ['adam', { optimizer: 'adam' }, /This job used Adam\. Below is what it did/],
  ['huber', { loss: 'huber' }, /used huber loss/],
  ['mini-batches', { batch_size: 32 }, /mini-batches of 32 rows/],
  ['l1', { l1: 0.1 }, /l1 penalty, which has a corner/],
  ['schedules', { schedule: { type: 'cosine' } }, /rate fell \(cosine\)/],
  ['the exact solution', { optimizer: 'exact' }, /took no steps/],
] as const)
  test(`${name} is refused in words`, () => {
    assert.match(lesson.notExact({ ...SGD, ...settings } as Hyperparameters)!, words)
  })

test('plain gradient descent is exact, also with momentum or l2', () => {
  assert.equal(lesson.notExact(SGD), null)
  assert.equal(lesson.notExact({ ...SGD, momentum: 0.9, l2: 1 }), null)
})

test('one step is the gradient times the rate', () => {
  const { weights, gradient } = lesson.stepAt(LESSON, plain(0.01), 0)
  const next = lesson.stepAt(LESSON, plain(0.01), 1)

  weights.forEach((w, j) => assert.ok(Math.abs(w - 0.01 * gradient[j]! - next.weights[j]!) < 1e-12))
  assert.ok(Math.abs(gradient[0]! - -18.666666666666668) < 1e-9)
})

test('the server is asked for the gradient at weights in original units', () => {
  const scaled = lesson.lessonOf({ ...TOLD, center: [2], scale: [0.5] })!

  const { coef, intercept } = lesson.initAt(scaled, plain(0.01), 1)!

  const { weights } = lesson.stepAt(scaled, plain(0.01), 1)
  assert.equal(coef[0]![0], weights[0]! / 0.5)
  assert.equal(intercept![0], weights[1]! - (weights[0]! / 0.5) * 2)
})

test('weights beyond all bounds are not asked about', () => {
  assert.equal(lesson.initAt(LESSON, plain(10), 1000), null)
})

test('two parameters are a bowl, one a parabola, many a plane of two directions', () => {
  assert.equal(lesson.surfaceOf(LESSON).kind, 'bowl')
  const one = { ...TOLD, parameters: ['x'], weights: [[0]], modes: [{ eigenvalue: 2, excess: 1, vector: [1] }], by_hand: [[-2]] }
  assert.equal(lesson.surfaceOf(lesson.lessonOf(one as Gradients)!).kind, 'parabola')
  const unit = (j: number) => [0, 1, 2, 3].map((i) => (i === j ? 1 : 0))
  const many = {
    ...TOLD, parameters: ['a', 'b', 'c', 'd'], weights: [[0, 0, 0, 0]], by_hand: [[1, 1, 1, 1]],
    modes: [4, 3, 2, 1].map((eigenvalue, j) => ({ eigenvalue, excess: 1, vector: unit(j) })),
  }
  const plane = lesson.surfaceOf(lesson.lessonOf(many as Gradients)!)
  assert.deepEqual(plane, { kind: 'plane', steep: 1, flat: 1, share: 0.5, directions: 4 })
})

test('the loop in PyTorch holds the values of the step', () => {
  const code = lesson.pytorch(LESSON, plain(0.01), 0)

  assert.match(code, /torch\.optim\.SGD\(model\.parameters\(\), lr=0\.01\)/)
  assert.match(code, /weight\.grad = \[-18\.6667\], bias\.grad = -8\.0/)
})

test('a job is taught from where it started, by gradient descent on the rows it trained on', () => {
  const job = {
    spec: { dataset: 'ds_1', target: 'y', name: 'mine', priority: 9 }, dataset_id: 'ds_1', seed: 7,
    resolved_hyperparameters: { ...SGD, optimizer: 'adam', betas: [0.9, 0.99], l2: 0.5, init: 'torch', dtype: 'float64' },
  } as unknown as Job

  const { hyperparameters, ...rest } = lesson.specOfJob(job)

  assert.equal('name' in rest, false)
  assert.equal(hyperparameters!.seed, 7)
  assert.equal(hyperparameters!.init, 'torch')
  assert.equal(hyperparameters!.optimizer, undefined)
  assert.equal(hyperparameters!.l2, 0.5)
})

test('a recorded history that is off is told', () => {
  assert.equal(lesson.disagreement([2, NaN, 4], [2, 5, 4]), 0)
  assert.equal(lesson.disagreement([2, 4], [2, 5]), 0.25)
})
