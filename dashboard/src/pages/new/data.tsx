// Step 1 of a new job: a file on its way, or the data set that it became.
import { useEffect, useState } from 'preact/hooks'
import { get } from '../../api'
import { Button, Card, Failure, Icon } from '../../controls'
import { bytes, plural, when } from '../../format'
import { Profile } from '../../profile'
import { withOptions } from '../../reading'
import type { Options } from '../../reading'
import { useResource } from '../../resource'
import { setQuery } from '../../router'
import * as drafts from '../../spec'
import type { Draft } from '../../spec'
import { useStore } from '../../store'
import { dropped, FileButton, upload } from '../../upload'
import type { Uploading } from '../../upload'
import type { Column, Dataset, Page } from '../../wire'
import { Reading, Refused } from './reading'

export interface Sent {
  file: File | null
  /** The last one, sent or not: it can be read anew, written otherwise. */
  last: File | null
  part: number
  error: unknown
  /** How the last one was asked to be read. */
  options: Options
  cancel: () => void
  again: (options: Options) => void
}

export function useUpload(onDone: (dataset: Dataset) => void): Sent {
  const waiting = useStore(dropped)
  const [state, setState] = useState<{ file: File | null; part: number; error?: unknown }>({ file: null, part: 0 })
  const [sending, setSending] = useState<Uploading | null>(null)
  const [options, setOptions] = useState<Options>({})
  const send = (file: File, options: Options) => {
    sending?.cancel()
    setState({ file, part: 0 })
    setOptions(options)
    const now = upload(file, options, (part) => setState((before) => (before.file === file ? { ...before, part } : before)))
    setSending(now)
    now.done.then(
      (dataset) => (setSending(null), setState({ file, part: 1 }), onDone(dataset)),
      (error: unknown) => (setSending(null), setState({ file, part: 0, error })),
    )
  }
  useEffect(() => {
    if (!waiting) return
    dropped.set(null)
    send(waiting, {})
  }, [waiting])
  return {
    file: sending || state.error ? state.file : null, last: state.file, part: state.part, error: state.error, options,
    cancel: () => sending?.cancel(),
    again: (options) => state.file && send(state.file, options),
  }
}

const FIRST_ROW = 'header=absent' // what the server advises where the first row looks like data

interface DataProps {
  sent: Sent
  dataset: Dataset | null
  draft: Draft | null
  onDraft: (draft: Draft) => void
  onOpen: (dataset: Dataset) => void
  error: unknown
}

export function Data({ sent, dataset, draft, onDraft, onOpen, error }: DataProps) {
  const file = dataset && !sent.file
  return (
    <Card title="1 · Data" side={file ? <FileButton>Other file</FileButton> : undefined}>
      {sent.file && !sent.error && <Sending sent={sent} />}
      {Boolean(sent.error) && <Refused sent={sent} />}
      {Boolean(error) && <Failure error={error} />}
      {!dataset && !sent.file && <Choose onOpen={onOpen} />}
      {file && draft && (
        <>
          <p class="row">
            <b>{dataset.name ?? dataset.id}</b>
            <span class="muted">{plural(dataset.n_rows, 'row')}, {plural(dataset.n_columns, 'column')}, {bytes(dataset.size_bytes)} <Icon name="check" /></span>
          </p>
          <Profile dataset={dataset} use={(column) => <Use column={column} dataset={dataset} draft={draft} onDraft={onDraft} />} />
          {dataset.warnings.map((text) => (
            <p class="refusal">{text}.{' '}
              {sent.last && text.includes(FIRST_ROW) && <button type="button" class="link" onClick={() => sent.again(withOptions(sent.options, [{ header: ['absent'] }]))}>The first row is data</button>}
            </p>
          ))}
          {dataset.unreadable.length > 0 && <p class="refusal">Not kept: {dataset.unreadable.map((one) => `${one.name} (${one.type})`).join(', ')}.</p>}
          {dataset.format === 'csv' && sent.last && <Reading sent={sent} />}
        </>
      )}
    </Card>
  )
}

function Sending({ sent }: { sent: Sent }) {
  const percent = Math.round(sent.part * 100)
  return (
    <div class="row">
      <b>{sent.file!.name}</b>
      <span class="muted">{sent.part < 1 ? `${percent} % of ${bytes(sent.file!.size)}` : 'The server reads it…'}</span>
      <Button onClick={sent.cancel}>Cancel</Button>
      <progress max="1" value={sent.part} aria-label="Upload">{percent} %</progress>
    </div>
  )
}

function Choose({ onOpen }: { onOpen: (dataset: Dataset) => void }) {
  const earlier = useResource((signal) => get<Page<Dataset>>('v1/datasets?limit=100', signal), [])
  const open = (one: Dataset) => (setQuery({ data: one.id }), onOpen(one))
  return (
    <div class="drop-zone">
      <p><b>Drop a file here</b>, CSV, Parquet, Arrow, NDJSON or npz.</p>
      <FileButton primary>Choose a file</FileButton>
      {Boolean(earlier.value?.data.length) && (
        <div class="small">or train on
          <ul class="earlier">{drafts.newest(earlier.value!.data).slice(0, 8).map((one) => (
            <li><button type="button" class="link" onClick={() => open(one)}>{one.name ?? one.id.slice(0, 11)}</button>{' '}
              {plural(one.n_rows, 'row')}, {plural(one.n_columns, 'column')}, {when(one.created_at)}</li>
          ))}</ul></div>
      )}
    </div>
  )
}

interface DraftProps { draft: Draft; onDraft: (draft: Draft) => void }

function Use({ column, dataset, draft, onDraft }: DraftProps & { column: Column; dataset: Dataset }) {
  const { name } = column
  const isTarget = draft.target === name, used = draft.features.includes(name)
  const toggle = () => onDraft({ ...draft, features: used ? draft.features.filter((one) => one !== name) : [...draft.features, name] })
  return (
    <span class="row use">
      {column.dtype !== 'string' && (
        <label class="check"><input type="radio" name="target" checked={isTarget} onChange={() => onDraft(drafts.aimed(draft, name))} /> {isTarget ? <b>target{name === drafts.guessTarget(dataset) ? ', guessed' : ''}</b> : <span class="muted">target</span>}</label>
      )}
      {!isTarget && (
        <label class="check"><input type="checkbox" checked={used} onChange={toggle} aria-label={`use ${name}`} />
          <span class="muted">{used ? drafts.useOf(column) : (drafts.leftOut(column, dataset.n_rows) ?? 'left out')}</span></label>
      )}
    </span>
  )
}
