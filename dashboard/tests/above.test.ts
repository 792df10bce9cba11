import assert from 'node:assert/strict'
import { test } from 'node:test'
import { above, aboveOf } from '../src/above'
import type { Metrics } from '../src/wire'

const plain = (text: string | undefined) => text?.replaceAll(/[\u2009\u202f]/g, ' ')
const metrics = (some: Partial<Metrics>) => ({ epochs: 50, initial_loss: 20, train_loss: 1, r2: 0.9, ...some }) as Metrics

test('where there is a minimum worth the name, a part of it', () => {
  const found = above(0.2232, 8.638, 617)!

  assert.deepEqual([plain(found.short), plain(found.long), found.near], ['2.58 %', '2.58 % above the lowest possible loss', true])
  assert.equal(above(2, 8.638, 617)!.near, false)
})

test('where the minimum is nothing but rounding, the loss and the part of the first gap', () => {
  const found = above(4.58e-4, 1e-30, 15)!

  assert.equal(plain(found.short), '0.003 % left')
  assert.equal(plain(found.long), 'the training loss is 0.0004580: 0.003 % of the first gap is left')
  assert.equal(found.near, false)
})

test('a loss that is rounding itself says so, also where the minimum came out below zero', () => {
  for (const floor of [1e-31, 0, -1e-32]) assert.equal(above(3e-30, floor, 18)!.short, 'to rounding')
  assert.equal(above(0, 0)!.short, 'to rounding')
  assert.match(above(3e-30, 0, 18)!.long, /it fits to rounding/)
})

test('what the service calls converged is never a large percentage', () => {
  const found = above(1.06e-9, 1e-9, 10)!

  assert.equal(plain(found.short), '0.0 % left')
  assert.ok(found.near)
})

test('of metrics: the objective, and for an exact solution the variance as the first loss', () => {
  assert.equal(plain(aboveOf(metrics({ gap: 0.5, min_objective: 1 }))!.short), '50 %')
  assert.equal(aboveOf(metrics({ gap: null, min_objective: 1 })), null)
  assert.equal(aboveOf(null), null)
  const solved = { epochs: 1, gap: 0, train_loss: 1e-31, initial_loss: 1e-31, min_objective: 1e-31 }
  assert.equal(aboveOf(metrics({ ...solved, r2: 1 }))!.short, 'to rounding')
  assert.equal(plain(aboveOf(metrics({ ...solved, train_loss: 8, initial_loss: 8, min_objective: 8, r2: 0.8 }))!.short), '0.0 %')
})
