import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventReader } from '../src/sse'

function read(...pieces: string[]): string[] {
  const found: string[] = []
  const feed = eventReader((data) => found.push(data))
  pieces.forEach(feed)
  return found
}

const STREAM = ': hello\n\nid: 1\nevent: history\ndata: {"a": 1}\n\nretry: 500\nid: 2\ndata: two\ndata:lines\n\ndata: last\n\n'
const DATA = ['{"a": 1}', 'two\nlines', 'last']

test('of each event its data: of several lines, without comments and other fields', () => {
  assert.deepEqual(read(STREAM), DATA)
})

test('wherever a stream is cut, with whichever line ends, the events are the same', () => {
  for (const text of [STREAM, STREAM.replaceAll('\n', '\r\n')]) {
    for (let at = 0; at <= text.length; at++) assert.deepEqual(read(text.slice(0, at), text.slice(at)), DATA)
    assert.deepEqual(read(...text), DATA)
  }
  assert.deepEqual(read(`${STREAM.replaceAll('\n', '\r')}\n`), DATA)
})

test('an event that has not ended is kept back; one without data is none', () => {
  assert.deepEqual(read('data: half\n'), [])
  assert.deepEqual(read('event: ping\n\n', 'data\n\n', 'datum: x\n\n'), [''])
})

test('one space after the colon belongs to the field, the next to the data', () => {
  assert.deepEqual(read('data:  a: b \n\n'), [' a: b '])
})
