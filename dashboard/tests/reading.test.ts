import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asked, likeliest, said, typed, withOptions } from '../src/reading'

test('a way to read a column is said in words', () => {
  assert.equal(said({ thousands: ['rent:,'], strip: ['rent:$'] }, 'rent'), 'Read it with “,” between thousands, without “$”')
  assert.equal(said({ dates: ['day:days'] }, 'day'), 'Read it as days since the first')
  assert.equal(said({ decimal: [','] }, 'price'), 'Read it with “,” as the decimal sign')
  assert.equal(said({ thousands: ['a:b: '] }, 'a:b'), 'Read it with a space between thousands')
  assert.equal(said({ text: ['rent'] }, 'rent'), 'Keep it as text')
  assert.equal(said({ header: ['absent'] }), 'Read it with its first line as a row')
  assert.equal(said({ skip_rows: ['2'] }), 'Read it from line 3 on')
})

test('nothing is kept as text unless somebody says so', () => {
  const text = { text: ['rent'] }

  assert.equal(likeliest({ param: 'rent', message: '', options: [text] }), null)
  assert.deepEqual(likeliest({ param: 'rent', message: '', options: [{ strip: ['rent:$'] }, text] }), { strip: ['rent:$'] })
})

test('what was asked before stays, but one value for the whole file is replaced', () => {
  const before = { strip: ['a:$'], decimal: ['.'] }

  const all = withOptions(before, [{ strip: ['b:%'], decimal: [','] }, { strip: ['b:%'], text: ['c'] }])

  assert.deepEqual(all, { strip: ['a:$', 'b:%'], decimal: [','], text: ['c'] })
  assert.deepEqual(before, { strip: ['a:$'], decimal: ['.'] })
})

test('decimal signs of several columns are asked for together, in a form too', () => {
  const two = withOptions({}, [{ decimal: ['a, b:.'] }, { decimal: ['c:,'] }])

  assert.deepEqual(two, { decimal: ['a, b:.', 'c:,'] })
  assert.deepEqual(withOptions(two, [{ decimal: [','] }, { decimal: ['.'] }]), { decimal: ['a, b:.', 'c:,', '.'] })
  assert.deepEqual(asked(typed(two)), two)
})

test('a form holds what was asked, and asks for what it holds', () => {
  const options = { strip: ['a:$', 'b: kg'], decimal: [','] }

  assert.deepEqual(asked(typed(options)), options)
  assert.deepEqual(asked({ decimal: '', text: 'a\n' }), { text: ['a'] })
})
