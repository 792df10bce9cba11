import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as math from '../src/math'
import courses from './courses.json'

interface Course extends math.Quadratic, math.Method {
  weights: number[][]
  gradient: number[][]
  center: number[]
  scale: number[]
  minimum: { coef: number[][]; intercept: number[] }
  epoch: number[]
  objective: number[]
}

const close = (found: number, expected: number, relative: number, what = '') =>
  assert.ok(
    Math.abs(found - expected) <= relative * Math.abs(expected),
    `${what}: ${found} is not ${expected}`,
  )

for (const [name, recorded] of Object.entries(courses as unknown as Record<string, Course>)) {
  test(`the closed form is the course that the engine took: ${name}`, () => {
    const told = math.course(recorded, recorded, recorded.epoch)

    recorded.objective.forEach((one, i) => close(told[i]!, one, 1e-9, `epoch ${recorded.epoch[i]}`))
  })

  if (recorded.weights.length > 1) continue // of two targets the excess is a sum

  test(`the modes lead from the start to the minimum: ${name}`, () => {
    const offset = math.offsets(recorded.modes, recorded.gradient[0]!)

    const left = recorded.modes.map(() => 0)
    const found = math.weightsAfter(recorded.weights[0]!, recorded.modes, offset, left)

    const { coef, intercept } = math.original(found, recorded.center, recorded.scale)
    const size = Math.max(...recorded.minimum.coef[0]!.map(Math.abs))
    coef.forEach((one, j) => assert.ok(Math.abs(one - recorded.minimum.coef[0]![j]!) < 1e-8 * size))
    const scale = Math.max(1, Math.abs(recorded.minimum.intercept[0]!))
    assert.ok(Math.abs(intercept - recorded.minimum.intercept[0]!) < 1e-8 * scale)
  })
}

const NOTEBOOK: math.Quadratic = courses.notebook

test('a rate below the bound falls, one above it grows', () => {
  const bound = math.limit(NOTEBOOK.modes)

  close(bound, 0.18029, 1e-4)
  const after = (rate: number) => math.course(NOTEBOOK, math.plain(rate), [0, 10_000])
  assert.ok(after(bound * 0.999)[1]! < after(bound * 0.999)[0]!)
  assert.ok(after(bound * 1.001)[1]! > after(bound * 1.001)[0]!)
})

for (const momentum of [0, 0.5, 0.9, 0.99])
  for (const nesterov of momentum ? [false, true] : [false])
    test(`the bound is where the decay is 1: momentum ${momentum}, nesterov ${nesterov}`, () => {
      const bound = math.limit(NOTEBOOK.modes, momentum, nesterov)
      const at = (rate: number) =>
        math.decay(math.largest(NOTEBOOK.modes), { rate, momentum, nesterov })

      close(at(bound), 1, 1e-9)
      assert.ok(at(bound * 1.01) > 1)
      assert.ok(at(bound * 0.99) < 1)
    })

test('no other rate makes the slowest mode faster than the fastest', () => {
  for (const momentum of [0, 0.5, 0.9]) {
    const slowest = (rate: number) =>
      Math.max(...NOTEBOOK.modes.map((m) => math.decay(m.eigenvalue, { rate, momentum, nesterov: false })))
    const best = math.fastest(NOTEBOOK.modes, momentum)
    if (momentum === 0.9) assert.ok(best < 0.1 * math.limit(NOTEBOOK.modes, momentum))
    for (let i = 1; i < 200; i++) {
      const other = (i / 200) * math.limit(NOTEBOOK.modes, momentum)
      assert.ok(slowest(best) <= slowest(other) + 1e-9)
    }
  }
})

test('a million steps are told without taking them', () => {
  const slow = { modes: [{ eigenvalue: 1e-6, excess: 1 }], floor: 0, unreachable: 0 }

  const [told] = math.course(slow, math.plain(1), [1_000_000])
  const [pushed] = math.course(slow, { rate: 0.1, momentum: 0.9, nesterov: false }, [1_000_000])

  close(told!, Math.exp(2e6 * Math.log1p(-1e-6)), 1e-12)
  close(pushed!, told!, 1e-4) // momentum 0.9 is a tenfold rate
})

test('steps to a part of the gap are the first at which it is that small', () => {
  for (const method of [math.plain(0.01), math.plain(0.17), { rate: 0.02, momentum: 0.9, nesterov: false }]) {
    const k = math.stepsTo(NOTEBOOK, method, 0.01)!
    const gap = [...math.course(NOTEBOOK, method, math.range(0, k + 1))].map((one) => one - NOTEBOOK.floor)

    assert.ok(gap[k]! <= 0.01 * gap[0]!)
    assert.ok(gap.slice(0, k).every((one) => one > 0.01 * gap[0]!))
  }
})

test('steps to a gap that is never reached are none', () => {
  assert.equal(math.stepsTo(NOTEBOOK, math.plain(0.19), 1e-6), null)
  assert.equal(math.stepsTo({ ...NOTEBOOK, unreachable: 1e6 }, math.plain(0.1), 0.01), null)
})

test('where one step lands on a mode\'s minimum nothing is left of it', () => {
  assert.deepEqual([...math.remaining(4, math.plain(0.25), [0, 1, 2])], [1, 0, 0])
})

test('a rate beyond 1 / eigenvalue jumps across the minimum and back', () => {
  const left = math.remaining(1, math.plain(1.5), [0, 1, 2, 3])

  for (const [k, one] of [1, -0.5, 0.25, -0.125].entries()) close(left[k]!, one, 1e-15)
})

test('ticks are 1, 2 or 5 times a power of ten apart', () => {
  assert.deepEqual(math.ticks(0, 60), [0, 10, 20, 30, 40, 50, 60].filter((one) => one % 20 === 0))
  assert.deepEqual(math.ticks(-3, 3.2), [-2, 0, 2])
  assert.deepEqual(math.ticks(0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1])
})

test('logarithmic ticks thin out as the decades grow', () => {
  assert.deepEqual(math.logTicks(17, 616), [20, 50, 100, 200, 500])
  assert.deepEqual(math.logTicks(10, 3e5), [10, 30, 100, 300, 1000, 3000, 1e4, 3e4, 1e5, 3e5])
  assert.ok(math.logTicks(1e-20, 1e300).length <= 9)
  assert.deepEqual(math.logTicks(9, 16.5), [10, 12, 14, 16])
})

test('limits leave room, and have a width also around one value', () => {
  assert.deepEqual(math.limits([0, 10], 0.1), [-1, 11])
  assert.deepEqual(math.limits([5, 5]), [4.5, 5.5])
  assert.deepEqual(math.limits([NaN, Infinity]), [0, 1])
})

test('a curve that is a straight line on logarithmic paper is not changed by smoothing', () => {
  const x = math.range(0, 4000)
  const y = x.map((k) => 3 * Math.exp(-k / 300))

  const told = math.smooth(x, y, 0.9)

  told.forEach((one, i) => close(one, y[i]!, 1e-9, `at ${i}`))
})

test('noise is smoothed, gaps stay gaps, and 0 changes nothing', () => {
  const x = math.range(0, 500)
  const noisy = x.map((k) => 10 + (k % 2 ? 1 : -1))
  noisy[250] = NaN

  const told = math.smooth(x, noisy, 0.45)

  assert.ok(Number.isNaN(told[250]))
  assert.ok([...told].every((one, i) => i === 250 || i < 20 || Math.abs(one - 10) < 0.3))
  assert.deepEqual([...math.smooth(x, noisy, 0)], noisy)
})

test('smoothing 2 000 points takes less than a frame or two', () => {
  const x = math.range(0, 2000)
  const y = x.map((k) => 5 + Math.sin(k))

  const times = math.range(0, 7).map(() => {
    const before = performance.now()
    math.smooth(x, y, 0.5)
    return performance.now() - before
  })

  assert.ok(Math.min(...times) < 50) // the least: other programs share the machine
})
