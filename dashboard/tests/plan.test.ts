import assert from 'node:assert/strict'
import { test } from 'node:test'
import { enoughEpochs, sayPlan } from '../src/plan'
import { newest } from '../src/spec'
import type { Dataset, Plan } from '../src/wire'

const plan = (some: Partial<Plan> & { near?: number | null }): Plan => ({
  stability_bound: 0.4, learning_rate: 0.36, diverges: false, epochs_refused: null, seconds: 0.2, min_loss: 8,
  epochs_to_gap: [{ gap: 0.01, epochs: 40 }, { gap: 1e-3, epochs: some.near ?? null }], ...some,
}) as Plan
const plain = (text: string) => text.replaceAll(/[\u2009\u202f]/g, ' ')

test('a plan that converges says when, and needs no more epochs', () => {
  assert.equal(plain(sayPlan(plan({ near: 74 }), {})), 'Converges: 74 epochs go 99.9 % of the way to the lowest possible loss (0.2 s). Stable below rate 0.4; “auto” uses 0.36.')
  assert.equal(enoughEpochs(plan({ near: 74 }), {}), null)
})

test('a plan that ends too early does not say that it converges, and how many epochs would do', () => {
  const early = plan({ near: 2043 })

  assert.match(plain(sayPlan(early, {})), /^Stops before the minimum is near: 99.9 % of the way .* takes 2043 epochs, max_epochs is 1000\./)
  assert.equal(enoughEpochs(early, {}), 2100)
  assert.equal(enoughEpochs(early, { max_epochs: 2100 }), null)
  assert.match(sayPlan(early, { max_epochs: 2100 }), /^Converges/)
})

test('epochs are advised only where they help', () => {
  for (const some of [{ near: 2e7 }, { near: null }, { near: 2043, diverges: true }, { near: 2043, epochs_refused: 'batches' }])
    assert.equal(enoughEpochs(plan(some), {}), null)
  assert.equal(enoughEpochs(plan({ near: 2043 }), { optimizer: 'exact' }), null)
})

test('a file that was uploaded again and again is offered once, the newest', () => {
  const file = (id: string, name: string, sha256: string) => ({ id, name, sha256 }) as Dataset
  const listed = [file('4', 'cars.csv', 'a'), file('3', 'other.csv', 'a'), file('2', 'cars.csv', 'b'), file('1', 'cars.csv', 'a')]

  assert.deepEqual(newest(listed).map(({ id }) => id), ['4', '3', '2'])
})
