import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as format from '../src/format'

const plain = (text: string) => text.replaceAll(/[  ]/g, ' ')

test('four significant digits, trailing zeros kept', () => {
  assert.equal(format.number(8.8612), '8.861')
  assert.equal(format.number(0.843), '0.8430')
  assert.equal(format.number(0.02), '0.02000')
  assert.equal(format.number(-0.006667), '−0.006667')
})

test('a rate and its limit have four digits, wherever they stand', () => {
  assert.equal(format.rateText(0.49164), '0.4916')
  assert.equal(format.rateText(0.5), '0.5')
  assert.equal(format.rateText(null), '–')
})

test('whole numbers stay whole, long ones are grouped', () => {
  assert.equal(format.number(16), '16')
  assert.equal(plain(format.integer(1234567)), '1 234 567')
  assert.equal(plain(format.number(12345.678)), '12 346')
  assert.equal(format.integer(1234), '1234')
})

test('very small and very large numbers are written with a power of ten', () => {
  assert.equal(format.number(3.2e-5, 2), '3.2×10⁻⁵')
  assert.equal(format.number(2.66e38, 3), '2.66×10³⁸')
  assert.equal(format.number(0.00099996, 4), '0.001000')
  assert.equal(format.number(999999.9), '1.000×10⁶')
})

test('what is no number is not written as one', () => {
  assert.equal(format.number(null), '–')
  assert.equal(format.number(Number.NaN), '–')
  assert.equal(format.number(Infinity), '∞')
  assert.equal(format.number(0), '0')
})

test('percent has at most three digits', () => {
  assert.equal(plain(format.percent(0.0258)), '2.58 %')
  assert.equal(plain(format.percent(1.08)), '108 %')
  assert.equal(plain(format.percent(0)), '0.0 %')
  assert.equal(plain(format.percent(0.00001)), '0.001 %')
})

test('times are as long as they need to be', () => {
  assert.equal(plain(format.duration(0.012)), '12 ms')
  assert.equal(plain(format.duration(7.84)), '7.8 s')
  assert.equal(plain(format.duration(600)), '10 min')
  assert.equal(plain(format.duration(7260)), '2 h 1 min')
})

test('a date is said where it is not today', () => {
  const now = new Date('2026-05-03T14:10:00')
  assert.equal(format.when('2026-05-03T14:09:30', now), 'just now')
  assert.equal(format.when('2026-05-03T14:02:00', now), '14:02')
  assert.equal(format.when('2026-04-30T14:02:00', now), '30 Apr')
  assert.equal(format.clock('2026-04-30T14:02:31', now), '30 Apr, 14:02:31')
})

test('small things', () => {
  assert.equal(format.powerOfTen(-12), '10⁻¹²')
  assert.equal(format.pValue(0.0001).replaceAll(/\s| /g, ' '), '< 0.001')
  assert.equal(format.shortId('job_01932f7c9d7d7c3e8a5b1d2e3f40a41e'), 'job_01932f7c…a41e')
  assert.equal(plain(format.bytes(18_400)), '18.4 kB')
})
