// All jobs: how each stands, live; found, selected, compared.
import { useEffect, useRef, useState } from 'preact/hooks'
import { aboveOf } from '../above'
import { get, hasKey, post, send } from '../api'
import { StateBadge } from '../badges'
import { Button, Copy, Dialog, Failure, Segments, toast } from '../controls'
import { submitCurl } from '../copies'
import { duration, integer, number, plural, shortId, when } from '../format'
import { sparkPath, useJobList, useSpark } from '../joblist'
import type { Filter, JobList } from '../joblist'
import { useKeys } from '../keys'
import { useResource } from '../resource'
import { go, href, setQuery } from '../router'
import type { PageProps } from '../router'
import { isTerminal } from '../stream'
import { setTitle } from '../title'
import { origin } from '../usage'
import type { Dataset, Job, JobSpec, Page } from '../wire'

const FILTERS = [
  ['all', 'All'], ['active', 'Active'], ['succeeded', 'Succeeded'], ['failed', 'Failed'], ['cancelled', 'Cancelled'],
] as const
const SEARCH_MILLISECONDS = 250
const CONTENT_ROWS = 500 // from here on the browser skips rows that are out of sight

export default function Jobs({ route: { query } }: PageProps) {
  const filter = (FILTERS.find(([name]) => name === query.get('state'))?.[0] ?? 'all') as Filter
  const sought = query.get('q') ?? ''
  const selected = new Set(query.getAll('sel').flatMap((ids) => ids.split('.')).filter(Boolean))
  const list = useJobList(filter, sought)
  useEffect(() => setTitle('Jobs'), [])
  const empty = list.jobs?.length === 0 && filter === 'all' && !sought
  return (
    <>
      <div class="page-head">
        <h1>Jobs</h1>
        <a class="button primary" href="#/new">New job</a>
      </div>
      {empty ? <Nothing /> : (
        <>
          <Tools filter={filter} sought={sought} />
          {list.error !== null && list.jobs === null && <Failure error={list.error} again={list.reload} />}
          <Table list={list} selected={selected} />
          {list.jobs?.length === 0 && <NoMatch filter={filter} sought={sought} />}
          <Foot list={list} selected={selected} />
        </>
      )}
    </>
  )
}

// The lesson: three rows, from zero weights, a thousand epochs of gradient descent.
const FIRST: JobSpec = {
  name: 'y = 2x',
  dataset: { X: [[1], [2], [3]], y: [2, 4, 6] },
  hyperparameters: { learning_rate: 0.01, standardize: false, tol: 0 },
}

function Nothing() {
  return (
    <section class="empty" aria-label="No jobs yet">
      <p class="sentence"><b>Drop a CSV here to train your first regression.</b> Or have one made up, or send one by curl.</p>
      <div class="row">
        <a class="button primary" href="#/new">Choose a file</a>
        <Button onClick={firstJob}>Try y = 2x</Button>
        <Copy text={() => submitCurl(FIRST, origin(), hasKey())} label="Copy a curl" />
      </div>
    </section>
  )
}

const firstJob = async () => go(`#/jobs/${(await post<Job>('v1/jobs', FIRST)).id}`)

function Tools({ filter, sought }: { filter: Filter; sought: string }) {
  const field = useRef<HTMLInputElement>(null)
  const timer = useRef(0)
  useKeys({ '/': () => field.current?.focus() })
  const search = (text: string) => {
    clearTimeout(timer.current)
    timer.current = window.setTimeout(() => setQuery({ q: text.trim() || undefined }), SEARCH_MILLISECONDS)
  }
  return (
    <div class="row list-tools">
      <input ref={field} class="search" type="search" aria-label="Search jobs by name" placeholder="Search by name"
        defaultValue={sought} onInput={(event) => search(event.currentTarget.value)} />
      <Segments label="State" value={filter} options={FILTERS}
        onChange={(name) => setQuery({ state: name === 'all' ? undefined : name, sel: undefined })} />
      <span class="small">Live, newest first</span>
    </div>
  )
}

const COLUMNS = [
  ['State', ''], ['Name', ''], ['Target · data', ''], ['Loss curve', ''], ['Loss (best)', 'number'],
  ['Above min.', 'number'], ['R²', 'number'], ['Epochs', 'number'], ['Took', 'number'], ['Started', 'number'],
] as const

function Table({ list, selected }: { list: JobList; selected: Set<string> }) {
  const names = useResource(() => get<Page<Dataset>>('v1/datasets?limit=100'), [list.jobs?.length])
  const named = new Map(names.value?.data.map(({ id, name }) => [id, name]))
  const body = useRef<HTMLTableSectionElement>(null)
  const late = useLate(list.jobs === null)
  if (list.jobs?.length === 0) return null
  return (
    <>
      {list.fresh > 0 && (
        <button type="button" class="fresh" onClick={list.showFresh}>{plural(list.fresh, 'new job')}. Show</button>
      )}
      <div class="scroll jobs-box">
        <table class={`jobs ${(list.jobs?.length ?? 0) >= CONTENT_ROWS ? 'huge' : ''}`}>
          <thead>
            <tr>
              <th><span class="unseen">Select</span></th>
              {COLUMNS.map(([name, kind]) => <th scope="col" class={kind}>{name}</th>)}
            </tr>
          </thead>
          <tbody ref={body} onKeyDown={(event) => pressed(event, selected)}>
            {list.jobs?.map((job) => (
              <Row key={job.id} job={job} data={named.get(job.dataset_id)} selected={selected.has(job.id)} onSelect={() => toggle(selected, job.id)} />
            )) ?? (late && Array.from({ length: 8 }, () => <tr class="waiting"><td colSpan={COLUMNS.length + 1}><span /></td></tr>))}
          </tbody>
        </table>
      </div>
    </>
  )
}

/** True where something has lasted for 200 ms: what is quick shows no waiting. */
function useLate(now: boolean): boolean {
  const [late, setLate] = useState(false)
  useEffect(() => {
    const timer = setTimeout(() => setLate(now), now ? 200 : 0)
    return () => clearTimeout(timer)
  }, [now])
  return now && late
}

function toggle(selected: Set<string>, id: string): void {
  const next = new Set(selected)
  if (!next.delete(id)) next.add(id)
  select([...next])
}

const select = (ids: string[]) => setQuery({ sel: ids.join('.') || undefined })

function pressed(event: KeyboardEvent, selected: Set<string>): void {
  const row = (event.target as HTMLElement).closest('tr')
  if (!row || event.ctrlKey || event.metaKey || event.altKey) return
  const id = row.dataset.id!
  const to = (other: Element | null) => other?.querySelector<HTMLElement>('a')?.focus()
  const acts: Record<string, () => void> = {
    ArrowDown: () => to(row.nextElementSibling),
    ArrowUp: () => to(row.previousElementSibling),
    x: () => toggle(selected, id),
    c: () => compare([...selected.add(id)]),
  }
  if (!acts[event.key]) return
  event.preventDefault()
  acts[event.key]!()
}

const compare = (ids: string[]) => go(href('compare', { job: ids.slice(0, 12) }))

interface RowProps { job: Job; data: string | null | undefined; selected: boolean; onSelect: () => void }

function Row({ job, data, selected, onSelect }: RowProps) {
  const row = useRef<HTMLTableRowElement>(null)
  const visible = useVisible(row)
  const spark = useSpark(job, visible)
  const { metrics, progress } = job
  const diverged = job.state === 'failed'
  const far = diverged ? null : aboveOf(metrics)
  const subject = [job.spec.target ?? 'y'].flat().join(', ')
  const loss = diverged ? metrics?.best_loss : metrics?.train_loss ?? spark?.last
  const best = metrics?.best_loss != null && metrics.eval_loss == null ? { value: metrics.best_loss, epoch: metrics.best_epoch } : spark?.best
  return (
    <tr ref={row} data-id={job.id} class={selected ? 'selected' : ''}>
      <td class="c-select"><input type="checkbox" aria-label={`Select ${job.name ?? shortId(job.id)}`} checked={selected} onChange={onSelect} /></td>
      <td class="c-state"><StateBadge job={job} /></td>
      <th scope="row" class="c-name"><a href={href(`jobs/${job.id}`)}>
        {job.name ?? <><span class="wide">{shortId(job.id)}</span><span class="narrow">{subject} · {data ?? 'inline'}</span></>}
      </a></th>
      <td class="c-data">{subject} <span class="muted">· {data ?? 'inline'}</span></td>
      <td class="c-spark"><Sparkline points={spark?.points} bad={diverged} /></td>
      <td class="number c-loss">{number(loss)}{best?.epoch != null && <span class="muted"> @{integer(best.epoch)}</span>}</td>
      <td class={`number c-above ${far && !far.vanishes ? 'of-least' : ''}`} title={far?.long}>{far?.short ?? '–'}</td>
      <td class="number c-r2">{diverged ? '–' : number(metrics?.r2, 3)}</td>
      <td class="number c-epochs">{epochs(job)}</td>
      <td class="number c-took">{took(job)}</td>
      <td class="number c-when" title={job.started_at ?? job.created_at}>
        {when(job.started_at ?? job.created_at)}
        {!isTerminal(job.state) && progress.fraction > 0 && <i class="done" aria-hidden="true" style={{ width: `${progress.fraction * 100}%` }} />}
      </td>
    </tr>
  )
}

function epochs({ state, stop_reason, metrics, progress }: Job): string {
  if (state === 'succeeded' && stop_reason === 'converged') return `converged @${integer(metrics?.epochs ?? progress.epoch)}`
  if (state === 'succeeded' && stop_reason === 'solved') return 'solved'
  if (state === 'succeeded') return integer(metrics?.epochs ?? progress.epoch)
  return `${integer(progress.epoch)}/${integer(progress.max_epochs)}`
}

function took({ started_at, finished_at, metrics }: Job): string {
  if (metrics?.train_seconds) return duration(metrics.train_seconds)
  if (!started_at) return '–'
  return duration(((finished_at ? Date.parse(finished_at) : Date.now()) - Date.parse(started_at)) / 1000)
}

function useVisible(element: { current: Element | null }): boolean {
  const [visible, setVisible] = useState(false)
  useEffect(() => {
    const watched = new IntersectionObserver(([entry]) => setVisible(entry!.isIntersecting))
    watched.observe(element.current!)
    return () => watched.disconnect()
  }, [])
  return visible
}

const SPARK_WIDTH = 96
const SPARK_HEIGHT = 24

function Sparkline({ points, bad }: { points?: number[]; bad: boolean }) {
  return (
    <svg class={`spark ${bad ? 'bad' : ''}`} width={SPARK_WIDTH} height={SPARK_HEIGHT} aria-hidden="true">
      {points && points.length > 1 && <path d={sparkPath(points, SPARK_WIDTH, SPARK_HEIGHT)} />}
    </svg>
  )
}

function NoMatch({ filter, sought }: { filter: Filter; sought: string }) {
  const what = filter === 'all' ? 'jobs' : `${filter} jobs`
  return (
    <p class="sentence">
      {sought ? `No ${what} with “${sought}” in the name.` : `No ${what}.`}{' '}
      <button type="button" class="link" onClick={() => setQuery({ q: undefined, state: undefined })}>Show all</button>
    </p>
  )
}

function Foot({ list, selected }: { list: JobList; selected: Set<string> }) {
  const [asked, setAsked] = useState(false)
  const chosen = (list.jobs ?? []).filter(({ id }) => selected.has(id))
  const active = chosen.filter(({ state }) => !isTerminal(state))
  const ended = chosen.filter(({ state }) => isTerminal(state))
  const each = async (jobs: Job[], act: (job: Job) => Promise<unknown>, done: string) => {
    await Promise.all(jobs.map(act))
    select([])
    toast(done)
    list.reload()
  }
  return (
    <div class={`row list-foot ${chosen.length ? 'stuck' : ''}`}>
      {list.more && <Button onClick={list.showMore}>Show 50 more</Button>}
      {list.more && <span class="small">Showing {integer(list.jobs?.length)} of more</span>}
      {chosen.length > 0 && (
        <div class="row chosen" role="group" aria-label="Selected jobs">
          <span>{plural(chosen.length, 'job')} selected</span>
          <Button onClick={() => compare(chosen.map(({ id }) => id))}>Compare</Button>
          {active.length > 0 && (
            <Button tone="danger" onClick={() => each(active, ({ id }) => post(`v1/jobs/${id}/cancel`), `${plural(active.length, 'job')} asked to stop.`)}>Cancel</Button>
          )}
          {ended.length > 0 && <Button tone="danger" onClick={() => setAsked(true)}>Delete</Button>}
          <button type="button" class="link" onClick={() => select([])}>Clear</button>
        </div>
      )}
      {asked && (
        <Dialog title={`Delete ${plural(ended.length, 'job')}?`} onClose={() => setAsked(false)}>
          <p>Their curves and logs are deleted; models that they trained stay. This cannot be undone.</p>
          <div class="row end">
            <Button onClick={() => setAsked(false)}>Keep</Button>
            <Button tone="primary" onClick={() => {
              setAsked(false)
              return each(ended, ({ id }) => send('DELETE', `v1/jobs/${id}`), `${plural(ended.length, 'job')} deleted.`)
            }}>Delete</Button>
          </div>
        </Dialog>
      )}
    </div>
  )
}
