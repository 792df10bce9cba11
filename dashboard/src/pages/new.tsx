// A new job in four steps on one page: data, model, plan, start.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { ApiError, answered, get, hasKey, newKey, post } from '../api'
import { Button, Card, CopyLink, Failure, Icon } from '../controls'
import { submitCurl, submitPython } from '../copies'
import { enoughEpochs, factsOf, foreseen, sayPlan } from '../plan'
import { useResource } from '../resource'
import { go, href, setQuery } from '../router'
import type { PageProps } from '../router'
import * as drafts from '../spec'
import type { Draft } from '../spec'
import { setTitle } from '../title'
import { origin } from '../usage'
import type { Dataset, Job, JobSpec, Plan } from '../wire'
import { Data, useUpload } from './new/data'

export default function NewJob({ route: { query } }: PageProps) {
  const [draft, setDraft] = useState<Draft | null>(null)
  const [dataset, setDataset] = useState<Dataset | null>(null)
  const sent = useUpload((one) => {
    setQuery({ data: one.id, from: undefined })
    open(one)
  })
  const open = (one: Dataset, from?: Draft) => {
    setDataset(one)
    setDraft(from ?? drafts.draftOf(one))
  }
  const known = useResource((signal) => named(query, signal), [])
  useEffect(() => {
    if (known.value) open(known.value.dataset, known.value.draft)
  }, [known.value])
  useEffect(() => setTitle('New job'), [])
  return (
    <>
      <p class="crumbs"><a href="#/">Jobs</a> / new</p>
      <h1>New job</h1>
      <div class="stack new">
        <Data sent={sent} dataset={dataset} draft={draft} onDraft={setDraft} onOpen={open} error={known.error} />
        {dataset && draft && <Rest dataset={dataset} draft={draft} onDraft={setDraft} />}
      </div>
    </>
  )
}

/** What the address names: a data set, or a job to run again with changes. */
async function named(query: URLSearchParams, signal: AbortSignal): Promise<{ dataset: Dataset; draft?: Draft } | undefined> {
  const data = query.get('data'), from = query.get('from')
  if (from) {
    const job = await get<Job>(`v1/jobs/${from}`, signal)
    const dataset = await get<Dataset>(`v1/datasets/${job.dataset_id}`, signal)
    const changes = Object.fromEntries([...query].filter(([name]) => name !== 'from').map(([name, text]) => [name, drafts.valueOf(name, text)]))
    return { dataset, draft: drafts.draftFrom(job.spec, dataset, changes) }
  }
  return data ? { dataset: await get<Dataset>(`v1/datasets/${data}`, signal) } : undefined
}

// --- 2 to 4 ------------------------------------------------------------------------------------------

function Rest({ dataset, draft, onDraft }: DraftProps & { dataset: Dataset }) {
  const spec = useMemo(() => drafts.specOfDraft(draft), [draft])
  const plan = usePlan(spec)
  const key = useMemo(newKey, [])
  const [refused, setRefused] = useState<unknown>(null)
  const wrong = wrongOf(refused ?? plan.error)
  const form = useRef<HTMLDivElement>(null)
  useEffect(() => setRefused(null), [spec])
  const start = async () => {
    try {
      const job = await post<Job>('v1/jobs', spec, { 'idempotency-key': `${key}-${digest(spec)}` })
      if (plan.value && !plan.busy) foreseen.set(job.id, plan.value)
      go(href(`jobs/${job.id}`))
    } catch (error) {
      setRefused(error)
      setTimeout(() => form.current?.querySelector<HTMLElement>('[aria-invalid]')?.focus(), 50)
    }
  }
  return (
    <div ref={form} class="stack">
      <Model dataset={dataset} draft={draft} onDraft={onDraft} wrong={wrong} />
      <PlanCard plan={plan.value} busy={plan.busy} waits={plan.waits} error={refused ?? plan.error} draft={draft} onDraft={onDraft} wrong={wrong} />
      <Card title="4 · Start">
        <div class="row">
          <Button tone="primary" onClick={start} disabled={!draft.target || !draft.features.length}>Start training</Button>
          <a class="button" href={href('learn', { data: draft.dataset, target: draft.target, x: draft.features, raw: draft.settings.standardize === false ? '1' : '0' })}>Open as lesson</a>
          <span class="small row">Copy as
            <CopyLink text={() => submitCurl(spec, origin(), hasKey())}>curl</CopyLink>
            <CopyLink text={() => submitPython(spec, origin())}>Python</CopyLink>
            <CopyLink text={() => drafts.submitShell(spec, origin())}>Shell</CopyLink>
          </span>
        </div>
      </Card>
    </div>
  )
}

/** The same key is the same job: it belongs to one draft of this visit. */
function digest(spec: JobSpec): string {
  let sum = 0
  for (const one of JSON.stringify(spec)) sum = (Math.imul(sum, 31) + one.codePointAt(0)!) | 0
  return (sum >>> 0).toString(16)
}

const PLAN_MILLISECONDS = 300
const WAIT_SECONDS = 2 // for a plan, before it is said why it does not come

function usePlan(spec: JobSpec) {
  const [rested, setRested] = useState(spec)
  useEffect(() => {
    const later = setTimeout(() => setRested(spec), PLAN_MILLISECONDS)
    return () => clearTimeout(later)
  }, [spec])
  const ready = Boolean(rested.target && rested.features?.length)
  const [waits, setWaits] = useState(false)
  const ask = (signal: AbortSignal) => {
    setWaits(false)
    return answered<Plan>(`v1/plans?wait=${WAIT_SECONDS}`, { ...rested, name: undefined }, signal, setWaits)
  }
  const plan = useResource(ready ? ask : null, [JSON.stringify({ ...rested, name: '' })])
  return { ...plan, busy: plan.busy || rested !== spec, waits }
}

/** Messages by the last part of the field that they are about. */
function wrongOf(error: unknown): Record<string, string> {
  if (!(error instanceof ApiError) || error.status !== 422) return {}
  const { errors, param, detail } = error.problem
  const all = errors?.length ? errors : [{ param: param ?? '', message: detail }]
  return Object.fromEntries(all.map((one) => [one.param.replace('hyperparameters.', '').split('.')[0]!, one.message]))
}

interface DraftProps { draft: Draft; onDraft: (draft: Draft) => void }

interface ModelProps extends DraftProps { dataset: Dataset; wrong: Record<string, string> }

function Model({ dataset, draft, onDraft, wrong }: ModelProps) {
  const { settings } = draft
  const preset = drafts.presetOf(settings)
  const set = (name: string, value: unknown) => {
    const { [name]: _, ...rest } = settings
    onDraft({ ...draft, settings: value === undefined ? rest : { ...rest, [name]: value } })
  }
  const numeric = dataset.columns.filter((one) => one.dtype !== 'string')
  return (
    <Card title="2 · Model">
      <div class="fields">
        <Choice name="Predict" value={draft.target} wrong={wrong.target} options={numeric.map((one) => [one.name, one.name])} onChange={(name) => onDraft(drafts.aimed(draft, name))} />
        <Choice name="Rows with a missing cell" value={draft.missing} wrong={wrong.missing ?? wrong.features}
          options={[['error', 'stop'], ['drop', 'leave out'], ['mean', 'fill in the mean']]} onChange={(missing) => onDraft({ ...draft, missing })} />
        <Choice name="Hold out for evaluation" value={String(settings.validation_fraction ?? 0)}
          options={[...new Set(['0', '0.1', '0.2', '0.3', String(settings.validation_fraction ?? 0)])].map((one) => [one, one === '0' ? 'no rows' : `${Number(one) * 100} %`])}
          onChange={(text) => set('validation_fraction', Number(text) || undefined)} />
        <label class="field"><span>Name</span><input value={draft.name} placeholder="for the list of jobs" onInput={(event) => onDraft({ ...draft, name: event.currentTarget.value })} /></label>
      </div>
      <fieldset class="row presets">
        <legend class="small">Train by</legend>
        {Object.entries(drafts.PRESETS).map(([one, { name }]) => (
          <label class="check"><input type="radio" name="preset" checked={one === preset} onChange={() => onDraft({ ...draft, settings: drafts.withPreset(settings, one) })} /> {name}</label>
        ))}
        {preset === 'own' && <label class="check"><input type="radio" name="preset" checked /> own settings</label>}
      </fieldset>
      <details open={preset === 'own' || undefined}>
        <summary>All settings</summary>
        {drafts.FIELDS.map(([group, fields]) => (
          <fieldset class="group">
            <legend>{group}</legend>
            <div class="fields">
              {fields.map((field) => <Setting key={field[0]} field={field} value={settings[field[0]]} wrong={wrong[field[0]]} onChange={(value) => set(field[0], value)} />)}
            </div>
          </fieldset>
        ))}
        <Button disabled={preset === 'descent'} onClick={() => onDraft({ ...draft, settings: {} })}>Reset all</Button>
      </details>
    </Card>
  )
}

interface ChoiceProps {
  name: string
  value: string
  options: readonly (readonly [value: string, text: string])[]
  onChange: (value: string) => void
  wrong?: string
}

function Choice({ name, value, options, onChange, wrong }: ChoiceProps) {
  return (
    <label class="field"><span>{name}</span>
      <select value={value} aria-invalid={wrong ? true : undefined} onChange={(event) => onChange(event.currentTarget.value)}>
        {options.map(([one, text]) => <option value={one} selected={one === value}>{text}</option>)}
      </select>
      {wrong && <span class="wrong">{wrong}</span>}
    </label>
  )
}

interface SettingProps { field: drafts.Field; value: unknown; wrong?: string; onChange: (value: unknown) => void }

function Setting({ field: [name, byDefault, options], value, wrong, onChange }: SettingProps) {
  const [typed, setTyped] = useState<string | null>(null)
  const changed = value !== undefined
  const title = <span>{name}{changed && <b class="changed" title={`default: ${byDefault}`}> ●</b>}</span>
  if (options) {
    const all = options.map((one) => [one === byDefault ? '' : one, one === byDefault ? `${one} (default)` : one] as const)
    return (
      <label class="field">{title}
        <select aria-invalid={wrong ? true : undefined} onChange={(event) => onChange(drafts.valueOf(name, event.currentTarget.value))}>
          {all.map(([one, text]) => <option value={one} selected={one === drafts.textOf(value)}>{text}</option>)}
        </select>
        {wrong && <span class="wrong">{wrong}</span>}
      </label>
    )
  }
  return (
    <label class="field">{title}
      <input value={typed ?? drafts.textOf(value)} placeholder={byDefault} aria-invalid={wrong ? true : undefined}
        onInput={(event) => (setTyped(event.currentTarget.value), onChange(drafts.valueOf(name, event.currentTarget.value)))} onBlur={() => setTyped(null)} />
      {wrong && <span class="wrong">{wrong}</span>}
    </label>
  )
}

interface PlanProps extends DraftProps { plan?: Plan; busy: boolean; waits: boolean; error: unknown; wrong: Record<string, string> }

function PlanCard({ plan, busy, waits, error, draft, onDraft, wrong }: PlanProps) {
  const shown = Object.keys(wrong).length > 0
  const auto = () => onDraft({ ...draft, settings: drafts.ownSettings({ ...draft.settings, learning_rate: undefined }) })
  const enough = plan ? enoughEpochs(plan, draft.settings) : null
  const scale = () => onDraft({ ...draft, settings: drafts.ownSettings({ ...draft.settings, standardize: undefined }) })
  return (
    <Card title="3 · Plan" className={busy ? 'busy' : ''} side={busy && !waits ? <span class="small" role="status">computing…</span> : undefined}>
      {busy && waits && <p role="status">The worker is busy; the plan comes when it is free.</p>}
      {Boolean(error) && !busy && (shown ? <p class="refusal bad">Not yet: {Object.entries(wrong).map(([name, text]) => (text.includes(name) || !name ? text : `${name}: ${text}`)).join('; ')}.</p> : <Failure error={error} />)}
      {plan && !error && (
        <>
          <p class="planned">{sayPlan(plan, draft.settings)}</p>
          {enough && <p><Button onClick={() => onDraft({ ...draft, settings: { ...draft.settings, max_epochs: enough } })}>Set max_epochs to {String(enough)}</Button></p>}
          <p class="small">{factsOf(plan).join(' · ')}</p>
          {plan.warnings.map((text) => (
            <p class="note"><Icon name="warning" /><span>{text}.{' '}
              {/^learning_rate/.test(text) && <button type="button" class="link" onClick={auto}>Use “auto”</button>}
              {/set standardize/.test(text) && <button type="button" class="link" onClick={scale}>Standardize</button>}
            </span></p>
          ))}
        </>
      )}
    </Card>
  )
}

