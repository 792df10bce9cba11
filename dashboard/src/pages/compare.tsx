// Several jobs side by side: curves on one pair of axes, what differs in one table.
import { useEffect, useMemo, useState } from 'preact/hooks'
import type { ComponentChildren } from 'preact'
import { aboveOf } from '../above'
import { get, getOnce } from '../api'
import { StateBadge } from '../badges'
import { lookOf, Overlay, SLOTS } from '../chart/Overlay'
import type { Curve } from '../chart/Overlay'
import { Card, CopyLink, Failure, Segments } from '../controls'
import { duration, integer, number, shortId, trimmed } from '../format'
import { smooth } from '../math'
import { useResource } from '../resource'
import { go, href, setQuery } from '../router'
import type { PageProps } from '../router'
import { ownSettings } from '../spec'
import { setTitle } from '../title'
import type { History, Job, Model, Page } from '../wire'

interface Entry {
  job: Job
  history: History
  model?: Model
}

const MOST = 12
const POINTS = 500
const POLL_MILLISECONDS = 2000

export default function Compare({ route: { query } }: PageProps) {
  const ids = [...new Set(query.getAll('job'))].slice(0, MOST)
  const [turn, setTurn] = useState(0)
  const asked = useResource(ids.length ? (signal) => Promise.all(ids.map((id) => entryOf(id, signal))) : null, [ids.join(), turn])
  const recent = useResource((signal) => get<Page<Job>>('v1/jobs?limit=50', signal), [])
  const entries = ids.length ? asked.value : []
  const live = entries?.some(({ job }) => isActive(job))
  useEffect(() => setTitle('Compare'), [])
  useEffect(() => {
    if (!live) return
    const timer = setInterval(() => document.hidden || setTurn((n) => n + 1), POLL_MILLISECONDS)
    return () => clearInterval(timer)
  }, [live])
  const show = (next: string[]) => {
    const kept = Object.fromEntries(['y', 'x', 'of', 's', 'part'].map((name) => [name, query.get(name) ?? undefined]))
    go(href('compare', { job: next, ...kept }))
  }
  const others = recent.value?.data.filter((job) => !ids.includes(job.id)) ?? []
  return (
    <>
      <div class="page-head">
        <h1>{ids.length > 1 ? `Compare ${ids.length} jobs` : 'Compare'}</h1>
        {ids.length < MOST && others.length > 0 && (
          <select aria-label="Add a job" value="" onChange={(event) => show([...ids, event.currentTarget.value])}>
            <option value="">+ add a job</option>
            {others.map((job) => <option value={job.id}>{nameOf(job)} ({job.state})</option>)}
          </select>
        )}
      </div>
      {ids.length < 2 && <p class="sentence">Choose {ids.length ? 'another job' : 'two jobs'}, here or on the <a href="#/">list of jobs</a>: their curves are drawn over each other, and what differs stands in one table.</p>}
      {asked.error && !asked.value ? <Failure error={asked.error} again={asked.reload} /> : null}
      {entries && entries.length > 0 && <Compared entries={entries} query={query} onRemove={(id) => show(ids.filter((one) => one !== id))} />}
    </>
  )
}

const isActive = (job: Job) => ['queued', 'running', 'paused'].includes(job.state)
const nameOf = (job: Job) => job.name ?? shortId(job.id)

async function entryOf(id: string, signal: AbortSignal): Promise<Entry> {
  const job = await get<Job>(`v1/jobs/${id}`, signal)
  const path = `v1/jobs/${id}/history?max_points=${POINTS}`
  const [history, model] = await Promise.all([
    isActive(job) ? get<History>(path, signal) : getOnce<History>(path),
    job.model_id ? getOnce<Model>(`v1/jobs/${id}/model`).catch(() => undefined) : undefined,
  ])
  return { job, history, model }
}

interface ComparedProps { entries: Entry[]; query: URLSearchParams; onRemove: (id: string) => void }

function Compared({ entries, query, onRemove }: ComparedProps) {
  const [pointed, setPointed] = useState<number | null>(null)
  const y = query.get('y') ?? 'log', x = query.get('x') ?? 'epoch', of = query.get('of') ?? 'train', part = query.get('part') ?? '0'
  const soft = Number(query.get('s') ?? 0)
  const floors = entries.flatMap(({ job }) => job.metrics?.min_loss ?? [])
  const same = new Set(entries.map(({ job }) => `${job.dataset_sha256} ${job.spec.target}`)).size === 1 &&
    Math.max(...floors) - Math.min(...floors) <= 1e-9 * Math.abs(floors[0] ?? 0)
  const targets = new Set(entries.map(({ job }) => String(job.spec.target)))
  const least = same ? (floors[0] ?? null) : null
  const curves = useMemo(() => entries.map((one) => curveOf(one, { y, x, of, soft, floor: least })), [entries, y, x, of, soft])
  const last = Math.max(1, ...curves.map((one) => one.x[one.x.length - 1] ?? 0))
  const floor = of === 'train' && y !== 'above' ? least : null
  return (
    <div class="stack below">
      <Card title="Loss" side={
        <div class="row">
          {entries.some(({ history }) => history.eval_loss.some((one) => one !== null)) && <Segments label="Rows" value={of} options={[['train', 'Train'], ['eval', 'Evaluation']]} onChange={(next) => setQuery({ of: next })} />}
          <Segments label="Height" value={y} options={[['linear', 'Linear'], ['log', 'Log'], ['above', 'Above minimum']]} onChange={(next) => setQuery({ y: next })} />
          <Segments label="Width" value={x} options={[['epoch', 'Epoch'], ['seconds', 'Seconds']]} onChange={(next) => setQuery({ x: next })} />
          <Segments label="Part" value={part} options={[['0', 'All'], ['0.5', 'Last half'], ['0.9', 'Last 10 %']]} onChange={(next) => setQuery({ part: next })} />
          <label class="row small">Smooth <input type="range" min="0" max="0.95" step="0.05" value={soft} onInput={(event) => setQuery({ s: event.currentTarget.value })} /></label>
        </div>
      }>
        <Overlay curves={curves} log={y !== 'linear'} floor={floor} xName={x} range={[Number(part) * last, last]} pointed={pointed} onPoint={setPointed} label={`Loss of ${entries.length} jobs`} />
        {targets.size > 1 && <p class="refusal">Losses of different targets cannot be compared; R² is shown below.</p>}
        {!same && targets.size === 1 && <p class="refusal">The jobs do not share one lowest possible loss, so none is drawn.</p>}
        {x === 'seconds' && <p class="small">Seconds by each job’s mean pace.</p>}
      </Card>
      <Differences entries={entries} pointed={pointed} onPoint={setPointed} onRemove={onRemove} comparable={targets.size === 1} />
    </div>
  )
}

interface View { y: string; x: string; of: string; soft: number; floor: number | null }

function curveOf({ job, history }: Entry, { y, x, of, soft, floor }: View): Curve {
  const pace = x === 'seconds' ? (job.metrics?.train_seconds ?? 0) / Math.max(1, job.metrics?.epochs ?? 1) : 1
  const raw = of === 'eval' ? history.eval_loss : history.train_loss
  const least = job.metrics?.min_loss ?? floor
  const values = raw.map((one, i) => {
    if (y !== 'above') return one ?? NaN
    return (of === 'train' ? history.gap[i] : null) ?? (one ?? NaN) - (least ?? NaN)
  })
  return { name: nameOf(job), x: history.epoch.map((one) => one * pace), y: [...smooth(history.epoch, values, soft)] }
}

// --- The table ---------------------------------------------------------------------------------------

interface Row {
  name: string
  group: string
  cells: string[]
  best?: number
}

interface DifferencesProps {
  entries: Entry[]
  pointed: number | null
  onPoint: (at: number | null) => void
  onRemove: (id: string) => void
  comparable: boolean
}

function Differences({ entries, pointed, onPoint, onRemove, comparable }: DifferencesProps) {
  const [all, setAll] = useState(false)
  const settings = settingRows(entries)
  const differing = settings.filter((row) => new Set(row.cells).size > 1)
  const rows = [...(all ? settings : differing), ...resultRows(entries, comparable), ...weightRows(entries)]
  const tsv = () => [['', ...entries.map(({ job }) => nameOf(job))], ...rows.map((row) => [row.name, ...row.cells])].map((one) => one.join('\t')).join('\n')
  return (
    <Card title="What differs" side={
      <span class="small row">
        <button type="button" class="link" onClick={() => setAll(!all)}>{all ? 'Only what differs' : `Show all ${settings.length} settings`}</button>
        <CopyLink text={tsv}>Copy as table</CopyLink>
      </span>
    }>
      <div class="scroll" tabIndex={0} role="group" aria-label="What differs">
        <table class="compare">
          <thead>
            <tr><td />
              {entries.map(({ job }, i) => (
                <th scope="col" class={pointed === i ? 'pointed' : ''} onPointerEnter={() => onPoint(i)} onPointerLeave={() => onPoint(null)}>
                  <svg width="28" height="10" aria-hidden="true"><line x1="0" x2="28" y1="5" y2="5" {...lookOf(i, entries.length, entries.length > SLOTS ? pointed : null)} /></svg>
                  <a href={href(`jobs/${job.id}`)} onFocus={() => onPoint(i)} onBlur={() => onPoint(null)}>{nameOf(job)}</a>{' '}
                  <StateBadge job={job} />
                  <button type="button" class="link" aria-label={`Remove ${nameOf(job)}`} onClick={() => onRemove(job.id)}>×</button>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row, r) => (
              <tr class={r && rows[r - 1]!.group !== row.group ? 'group' : ''}>
                <th scope="row">{row.name}</th>
                {row.cells.map((cell, i) => (
                  <td class={pointed === i ? 'pointed' : ''} onPointerEnter={() => onPoint(i)} onPointerLeave={() => onPoint(null)}>{marked(cell, row.best === i)}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  )
}

const marked = (cell: string, best: boolean): ComponentChildren => (best ? <>{cell} <b class="good">best</b></> : cell)

function settingRows(entries: Entry[]): Row[] {
  const each = entries.map(({ job }) => {
    const { dataset_id, spec, resolved_hyperparameters: used } = job
    const given = ownSettings({ ...used, learning_rate: used.learning_rate, seed: job.seed })
    return { data: shortId(dataset_id), target: spec.target ?? 'y', columns: spec.features ?? 'all', missing: spec.missing, ...used, ...given } as Record<string, unknown>
  })
  const names = [...new Set(each.flatMap(Object.keys))].filter((name) => name !== 'deterministic')
  return names.map((name) => ({ name, group: 'settings', cells: each.map((one) => written(one[name])) }))
}

function written(value: unknown): string {
  if (value === null || value === undefined) return 'none'
  if (typeof value === 'number') return Number.isInteger(value) && value > 1e6 ? String(value) : trimmed(value, 4)
  if (Array.isArray(value)) return value.length > 4 ? `${value.length}: ${value.slice(0, 3).join(', ')}, …` : value.join(', ')
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

function resultRows(entries: Entry[], comparable: boolean): Row[] {
  const metrics = entries.map(({ job }) => job.metrics)
  const row = (name: string, values: (number | null | undefined)[], text: (value: number, i: number) => string, better?: 1 | -1): Row => {
    const known = values.filter((one): one is number => typeof one === 'number')
    const best = better && known.length > 1 ? (better < 0 ? Math.min(...known) : Math.max(...known)) : NaN
    const cells = values.map((one, i) => (typeof one === 'number' ? text(one, i) : '–'))
    const at = values.indexOf(best)
    return { name, group: 'results', cells, best: cells.filter((one) => one === cells[at]).length === 1 ? at : undefined }
  }
  const lower = comparable ? -1 : undefined
  const far = metrics.map(aboveOf)
  const rows = [
    row('training loss', metrics.map((one) => one?.train_loss), (one) => number(one), lower),
    row('evaluation loss', metrics.map((one) => one?.eval_loss), (one) => number(one), lower),
    row('best loss', metrics.map((one) => one?.best_loss), (one, i) => `${number(one)} @${integer(metrics[i]!.best_epoch)}`, lower),
    row('above minimum', far.map((one) => one?.part), (_, i) => far[i]!.short, lower),
    row('R²', metrics.map((one) => one?.r2), (one) => number(one), 1),
    row('epochs', metrics.map((one) => one?.epochs), integer),
    row('took', metrics.map((one) => one?.train_seconds), duration),
  ]
  return rows.filter(({ cells }) => cells.some((cell) => cell !== '–'))
}

const MOST_WEIGHTS = 30

function weightRows(entries: Entry[]): Row[] {
  const maps = entries.map(({ model }) => new Map(model?.features.map((name, j) => [name, model.coef[0]![j]!])))
  const names = [...new Set(maps.flatMap((one) => [...one.keys()]))]
  const spread = (name: string) => {
    const values = maps.flatMap((one) => one.get(name) ?? [])
    return (Math.max(...values) - Math.min(...values)) / (Math.max(...values.map(Math.abs)) || 1)
  }
  return names.sort((a, b) => spread(b) - spread(a)).slice(0, MOST_WEIGHTS)
    .map((name) => ({ name: `weight: ${name}`, group: 'weights', cells: maps.map((one) => number(one.get(name))) }))
}
