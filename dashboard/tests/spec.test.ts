import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as spec from '../src/spec'
import { typeOf } from '../src/files'
import type { Column, Dataset, JobSpec } from '../src/wire'

const column = (name: string, more: Partial<Column> = {}): Column => ({
  name, dtype: 'float64', missing: 0, min: 0, max: 1, mean: 0.5, std: 0.3, distinct: 90, sample: [], ...more,
})
const dataset = (columns: Column[], more: Partial<Dataset> = {}): Dataset => ({
  id: 'ds_1', name: 'cars.csv', format: 'csv', n_rows: 100, n_columns: columns.length, size_bytes: 1, columns,
  default_target: null, default_weight: null, suggested_target: null, unreadable: [], warnings: [], parent_id: null, parent_rows: null, created_at: '', ...more,
})

test('the target is the upload\u2019s, else what the server suggests', () => {
  const columns = [column('a'), column('mpg')]

  assert.equal(spec.guessTarget(dataset(columns, { suggested_target: 'mpg' })), 'mpg')
  assert.equal(spec.guessTarget(dataset(columns, { default_target: ['a'], suggested_target: 'mpg' })), 'a')
  assert.equal(spec.guessTarget(dataset(columns)), '')
})

test('columns that cannot help are left out, with the reason, as of a job that names none', () => {
  const text = (distinct: number | null) => column('id', { dtype: 'string', min: null, max: null, distinct })
  const index = column('unnamed_1', { unnamed: true })
  const draft = spec.draftOf(dataset([text(99), index, column('a'), column('y')], { suggested_target: 'y' }))

  assert.deepEqual(draft.features, ['a'])
  assert.match(spec.leftOut(text(99), 100)!, /nearly all different/)
  assert.match(spec.leftOut(text(1001), 1e6)!, /nearly all different/)
  assert.match(spec.leftOut(text(1), 100)!, /one value/)
  assert.match(spec.leftOut(index, 100)!, /does not name it/)
  assert.match(spec.leftOut(column('a', { missing: 100 }), 100)!, /empty/)
  assert.match(spec.leftOut(text(26), 100)!, /nearly all different/)
  assert.match(spec.leftOut(text(21), 24)!, /nearly all different/)
  assert.match(spec.leftOut(text(null), 1e6)!, /nearly all different/)
  assert.deepEqual([spec.leftOut(text(25), 100), spec.leftOut(text(1000), 1e6), spec.leftOut(text(20), 24)], [null, null, null])
  assert.equal(spec.leftOut(column('a', { min: 3, max: 3 }), 100), null)
})

test('rows with a missing cell are left out where there are any', () => {
  assert.equal(spec.draftOf(dataset([column('a', { missing: 2 }), column('y')])).missing, 'drop')
  assert.equal(spec.draftOf(dataset([column('a'), column('y')])).missing, 'error')
})

test('a target that is no more becomes a column', () => {
  const draft = spec.draftOf(dataset([column('a'), column('b'), column('y')]))

  const { target, features } = spec.aimed(draft, 'a')

  assert.deepEqual([target, features], ['a', ['b', 'y']])
})

test('the notebook is the preset of the contract', () => {
  const draft = { ...spec.draftOf(dataset([column('a'), column('y')])), settings: spec.withPreset({}, 'notebook') }

  assert.deepEqual(spec.specOfDraft(draft).hyperparameters, {
    optimizer: 'sgd', learning_rate: 0.01, max_epochs: 1000, standardize: false, init: 'torch', dtype: 'float32', seed: 0, tol: 0,
  })
  assert.equal(spec.presetOf(draft.settings), 'notebook')
})

test('what is held out stays when another preset is chosen', () => {
  assert.deepEqual(spec.withPreset({ validation_fraction: 0.2, l2: 1 }, 'exact'), { optimizer: 'exact', validation_fraction: 0.2 })
})

test('a job is run again with what the address changes, and only that', () => {
  const before: JobSpec = {
    dataset: 'ds_1', target: 'y', features: ['a'], missing: 'error', name: 'mine',
    hyperparameters: { optimizer: 'sgd', learning_rate: 0.5, max_epochs: 50, l1: 0, seed: 3, momentum: null },
  }

  const again = spec.draftFrom(before, dataset([column('a'), column('b'), column('y')]), { learning_rate: 'auto' })
  const solved = spec.draftFrom(before, dataset([column('a'), column('y')]), { optimizer: 'exact' })

  assert.deepEqual(spec.specOfDraft(again), { dataset: 'ds_1', target: 'y', features: ['a'], name: 'mine', hyperparameters: { max_epochs: 50, seed: 3 } })
  assert.deepEqual(solved.settings, { optimizer: 'exact' })
})

test('typed text is read as what it looks like', () => {
  assert.equal(spec.valueOf('l2', '0,5'), 0.5)
  assert.equal(spec.valueOf('learning_rate', 'auto'), 'auto')
  assert.equal(spec.valueOf('standardize', 'false'), false)
  assert.deepEqual(spec.valueOf('betas', '[0.9, 0.99]'), [0.9, 0.99])
  assert.deepEqual(spec.valueOf('schedule', 'cosine'), { type: 'cosine' })
  assert.equal(spec.valueOf('l2', ' '), undefined)
})

test('the command asks for the same', () => {
  const text = spec.submitShell({
    dataset: 'ds_1', target: 'y', features: ['a', "it's"], hyperparameters: { learning_rate: 0.1, standardize: false },
  }, 'http://x')

  assert.equal(text.replaceAll(' \\\n ', ''), "descend train ds_1 --target y --features a --features 'it'\\''s' --learning-rate 0.1 --no-standardize --url http://x")
})

test('files are known by their names', () => {
  assert.deepEqual(typeOf('cars.CSV.gz'), { type: 'text/csv', packed: 'gzip' })
  assert.deepEqual(typeOf('a.b.parquet'), { type: 'application/vnd.apache.parquet', packed: null })
  assert.deepEqual(typeOf('cars.tsv.zst'), { type: 'text/tab-separated-values', packed: 'zstd' })
  assert.match((typeOf('book.xlsx') as { refused: string }).refused, /spreadsheet/)
  assert.match((typeOf('photo.png') as { refused: string }).refused, /not \.png/)
})
