// The list of jobs, kept up to date by one poll: rows are patched where they stand, and new jobs
// are counted instead of pushed in under the pointer.
import { useEffect, useRef, useState } from 'preact/hooks'
import { get } from './api'
import { lowest } from './curve'
import type { Lowest } from './curve'
import { isTerminal } from './stream'
import type { History, Job, Page } from './wire'

const PAGE_ROWS = 50
const BUSY_MILLISECONDS = 2000
const IDLE_MILLISECONDS = 15_000

export type Filter = 'all' | 'active' | 'succeeded' | 'failed' | 'cancelled'

// A filter of the page is one or two states of the service.
const STATES: Record<Filter, (string | null)[]> = {
  all: [null], active: ['running', 'queued'], succeeded: ['succeeded'], failed: ['failed'], cancelled: ['cancelled'],
}

export interface JobList {
  jobs: Job[] | null
  more: boolean
  fresh: number
  error: unknown
  showFresh: () => void
  showMore: () => Promise<void>
  reload: () => void
}

interface Shown {
  jobs: Job[] | null
  waiting: Job[]
  more: boolean
  error: unknown
}

export function useJobList(filter: Filter, sought: string): JobList {
  const [shown, setShown] = useState<Shown>({ jobs: null, waiting: [], more: false, error: null })
  const [turn, setTurn] = useState(0)
  const latest = useRef(shown)
  latest.current = shown
  useEffect(() => {
    let timer = 0
    let current = true
    setShown({ jobs: null, waiting: [], more: false, error: null })
    const ask = async () => {
      if (!document.hidden || latest.current.jobs === null)
        await read(filter, sought).then(
          ({ data, has_more }) => current && setShown((before) => patched(before, data, has_more)),
          (error: unknown) => current && setShown((before) => ({ ...before, error })),
        )
      const busy = latest.current.jobs?.some(({ state }) => !isTerminal(state)) ?? false
      if (current) timer = window.setTimeout(ask, busy && !document.hidden ? BUSY_MILLISECONDS : IDLE_MILLISECONDS)
    }
    const looked = () => {
      if (document.hidden) return
      clearTimeout(timer)
      void ask()
    }
    document.addEventListener('visibilitychange', looked)
    void ask()
    return () => {
      current = false
      clearTimeout(timer)
      document.removeEventListener('visibilitychange', looked)
    }
  }, [filter, sought, turn])
  const showMore = async () => {
    const last = shown.jobs?.at(-1)
    if (!last) return
    const { data, has_more } = await read(filter, sought, last.id)
    setShown((before) => ({ ...before, jobs: [...(before.jobs ?? []), ...data], more: has_more }))
  }
  return {
    jobs: shown.jobs, more: shown.more, fresh: shown.waiting.length, error: shown.error, showMore,
    showFresh: () => setShown((before) => ({ ...before, jobs: [...before.waiting, ...(before.jobs ?? [])], waiting: [] })),
    reload: () => setTurn((n) => n + 1),
  }
}

async function read(filter: Filter, sought: string, after?: string): Promise<Page<Job>> {
  const pages = await Promise.all(STATES[filter].map((state) => {
    const query = new URLSearchParams({ limit: String(PAGE_ROWS) })
    if (state) query.set('state', state)
    if (sought) query.set('q', sought)
    if (after) query.set('after', after)
    return get<Page<Job>>(`v1/jobs?${query.toString()}`)
  }))
  const data = pages.flatMap((page) => page.data)
  if (pages.length > 1) data.sort((a, b) => (a.id < b.id ? 1 : -1)) // ids rise with time
  return { data, has_more: pages.some((page) => page.has_more), last_id: null }
}

/** New facts about known jobs, in their places; jobs that are new wait. */
export function patched(before: Shown, found: Job[], hasMore: boolean): Shown {
  if (before.jobs === null || before.jobs.length === 0) return { jobs: found, waiting: [], more: hasMore, error: null }
  const facts = new Map(found.map((job) => [job.id, job]))
  const jobs = before.jobs.map((job) => facts.get(job.id) ?? job)
  const known = new Set(jobs.map(({ id }) => id))
  const newest = jobs[0]!.id
  const waiting = found.filter(({ id }) => !known.has(id) && id > newest)
  return { jobs, waiting, more: before.more, error: null }
}

// ---- sparklines ----

export interface Spark {
  points: number[]
  best: Lowest | null
  last: number | null
}

const SPARK_POINTS = 32
const AT_ONCE = 4
const kept = new Map<string, Spark>()
const queue: (() => Promise<void>)[] = []
let running = 0

/** Read a job's curve in few points: rows in view only, four at a time, once where it has ended. */
export function useSpark(job: Job, visible: boolean): Spark | null {
  const [, redraw] = useState(0)
  const epoch = isTerminal(job.state) ? 'end' : job.progress.epoch
  const key = `${job.id} ${epoch}`
  useEffect(() => {
    if (!visible || kept.has(key) || (job.progress.epoch === 0 && !isTerminal(job.state))) return
    let current = true
    queue.push(async () => {
      if (!current) return
      const history = await get<History>(`v1/jobs/${job.id}/history?max_points=${SPARK_POINTS}`).catch(() => null)
      if (!history) return
      kept.set(key, sparkOf(history))
      kept.set(job.id, kept.get(key)!)
      redraw((n) => n + 1)
    })
    next()
    return () => void (current = false)
  }, [key, visible])
  return kept.get(key) ?? kept.get(job.id) ?? null
}

function next(): void {
  while (running < AT_ONCE && queue.length) {
    running++
    void queue.shift()!().finally(() => {
      running--
      next()
    })
  }
}

function sparkOf({ epoch, train_loss }: History): Spark {
  const values = train_loss.map((value) => value ?? NaN)
  const finite = values.filter(Number.isFinite)
  return { points: values, best: lowest(epoch, values), last: finite.at(-1) ?? null }
}

/** A path through losses, on a logarithmic height where they allow it. */
export function sparkPath(points: number[], width: number, height: number): string {
  const logs = points.map((value) => (value > 0 ? Math.log(value) : NaN))
  const values = logs.some(Number.isFinite) ? logs : points
  const finite = values.filter(Number.isFinite)
  const [low, high] = [Math.min(...finite), Math.max(...finite)]
  const y = (value: number) => height - 2 - ((value - low) / (high - low || 1)) * (height - 4)
  const x = (i: number) => (i / Math.max(1, points.length - 1)) * (width - 2) + 1
  return values
    .map((value, i) => (Number.isFinite(value) ? `${x(i).toFixed(1)} ${y(value).toFixed(1)}` : ''))
    .filter(Boolean)
    .map((place, i) => `${i ? 'L' : 'M'}${place}`)
    .join('')
}
