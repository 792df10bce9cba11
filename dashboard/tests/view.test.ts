import assert from 'node:assert/strict'
import { test } from 'node:test'
import { drawn, edgeOf, extent, heightTicks, lowestDrawn, nearest, told, wholeTicks } from '../src/chart/view'
import { Curve, latest, lowest, lowestTrain } from '../src/curve'

const epochs = (n: number) => Array.from({ length: n }, (_, i) => i)
const view = { log: false, range: null, clip: true }

test('what is not above rounding stands at the edge, what is no number is a gap', () => {
  const edge = edgeOf([[NaN, 100, 1]])

  assert.equal(edge, 1e-12)
  assert.deepEqual([...drawn([100, 0, -1, 1e-20, NaN, Infinity], true, edge)], [2, -12, -12, -12, NaN, NaN])
  assert.deepEqual([...drawn([100, -1], false, edge)], [100, -1])
})

test('what is drawn at the edge is told by the edge, not by what nobody sees', () => {
  const fall = [8e6, 10, 6.6e-12]
  const edge = lowestDrawn([fall], true)

  assert.equal(told(6.6e-12, edge), '< 8×10⁻⁸')
  assert.equal(told(0, edge), '< 8×10⁻⁸')
  assert.equal(told(10, edge), '10')
  assert.equal(told(NaN, edge), '–')
  assert.equal(told(6.6e-12, lowestDrawn([fall], false)), '6.600×10⁻¹²')
  assert.equal(told(-3, lowestDrawn([fall], false)), '−3')
})

test('a start far above the rest is left outside, and named', () => {
  const x = epochs(200)
  const y = x.map((k) => (k < 3 ? 617 : 9 + Math.sin(k) / 10))

  const seen = extent(x, [y], view, edgeOf([y]))

  assert.equal(seen.startsAt, 617)
  assert.ok(seen.high < 12)
  assert.equal(extent(x, [y], { ...view, clip: false }, edgeOf([y])).startsAt, null)
  assert.equal(extent(x, [y], { ...view, range: [0, 50] }, edgeOf([y])).startsAt, null)
})

test('a straight fall over decades is shown whole on a logarithmic axis', () => {
  const x = epochs(200)
  const y = x.map((k) => 700 * 0.8 ** k)

  assert.equal(extent(x, [y], { ...view, log: true }, edgeOf([y])).startsAt, null)
})

test('the floor is in sight, with room for its name below', () => {
  const y = [16, 12, 11, 10.5]
  const seen = extent(epochs(4), [y], { ...view, log: true, floor: 8.638 }, edgeOf([y]))

  assert.ok(10 ** seen.low < 8.638)
  assert.ok(extent(epochs(4), [y], { ...view, floor: 8 }, 0).low === 0)
})

test('ticks are whole epochs and powers of ten', () => {
  assert.deepEqual(wholeTicks(0, 3, 9), [0, 1, 2, 3])
  assert.deepEqual(heightTicks(0, 40, true).map(Math.round), [0, 6, 12, 18, 24, 30, 36])
})

test('the nearest point is found', () => {
  assert.equal(nearest([0, 10, 20], 14), 1)
  assert.equal(nearest([0, 10, 20], 16), 2)
  assert.equal(nearest([0, 10, 20], -5), 0)
})

const points = (start: number, losses: (number | null)[]) => ({
  start, stop: start + losses.length, total: start + losses.length, epoch: losses.map((_, i) => start + i),
  train_loss: losses, eval_loss: null, learning_rate: null, gap: null,
})

test('a curve grows, and what comes twice is taken once', () => {
  const curve = new Curve()
  curve.append(points(0, [5, 4, 3]))
  curve.append(points(1, [4, 3, 2]))

  assert.deepEqual([...curve.epoch], [0, 1, 2, 3])
  assert.deepEqual([...curve.train], [5, 4, 3, 2])
  assert.ok(!curve.hasEval && !curve.sampled)
})

test('a curve of many points is appended to beyond its first size', () => {
  const curve = new Curve()
  for (let i = 0; i < 50; i++) curve.append(points(i * 100, new Array(100).fill(i)))

  assert.equal(curve.length, 5000)
  assert.equal(curve.train[4999], 49)
})

test('sampling anew keeps the points that came since', () => {
  const curve = new Curve()
  curve.append(points(0, [9, 8, 7, 6, 5, 4]))

  const next = curve.replacedBy({ total: 5, epoch: [0, 4], train_loss: [9, 5], eval_loss: [null, null], gap: [null, null] })

  assert.deepEqual([...next.epoch], [0, 4, 5])
  assert.deepEqual([...next.train], [9, 5, 4])
  assert.ok(next.sampled)
})

test('best and latest pass over what is no number', () => {
  assert.deepEqual(lowest([0, 1, 2], [3, NaN, 2]), { value: 2, epoch: 2 })
  assert.deepEqual(lowest([0, 1, 2, 3], [3, 0.1, NaN, 0], 0.5), { value: 0.5, epoch: 1 })
  assert.deepEqual(latest([0, 1, 2], [3, 1, NaN]), { value: 1, epoch: 1 })
  assert.equal(latest([0], [NaN]), null)
})

test('the lowest training loss is never above the one of the weights returned', () => {
  const curve = { epoch: [0, 1, 2], train: [3, 1, 2] }
  const ended = (train_loss: number | null, best_loss: number | null = null) => ({ train_loss, epochs: 3, best_loss, best_epoch: best_loss && 2 })

  assert.deepEqual(lowestTrain(curve, null), { value: 1, epoch: 1 })
  assert.deepEqual(lowestTrain(curve, ended(0.5)), { value: 0.5, epoch: 3 })
  assert.deepEqual(lowestTrain(curve, ended(1.5)), { value: 1, epoch: 1 })
  assert.deepEqual(lowestTrain(curve, ended(1.5, 0.9)), { value: 0.9, epoch: 2 })
  assert.deepEqual(lowestTrain({ epoch: [], train: [] }, ended(null)), null)
})
