// The loss curve of a job: the chart, its legend with values, and the same as table and files.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { get, getOnce } from './api'
import { Line } from './chart/Line'
import type { Mark, Series } from './chart/Line'
import { lowestDrawn, told } from './chart/view'
import { Card, CopyLink, Segments } from './controls'
import { Curve, latest, lowest } from './curve'
import { integer } from './format'
import { useKeys } from './keys'
import { MAX_POINTS } from './live'
import type { Live } from './live'
import { useResource } from './resource'
import { setQuery } from './router'
import { curveSummary } from './say'
import { isTerminal } from './stream'
import { Download } from './usage'
import type { History, Job } from './wire'

type Height = 'linear' | 'log' | 'above'

interface LossProps {
  live: Live
  job: Job
  floor: number | null
  query: URLSearchParams
}

const SMOOTH_OF_BATCHES = 0.45
const ZOOM_MILLISECONDS = 250

export function Loss({ live, job, floor, query }: LossProps) {
  const { curve } = live
  const certain = curve.gap.some(Number.isFinite) || floor !== null
  const height = heightOf(query.get('y'), job, certain)
  const batches = job.resolved_hyperparameters.batch_size !== null
  const soft = Number(query.get('s') ?? (batches ? SMOOTH_OF_BATCHES : 0))
  const range = rangeOf(query)
  const shown = useZoomed(job, curve, range)
  const picture = useRef<(() => void) | null>(null)
  const [place, setPlace] = useState<number | null>(null)
  const [table, setTable] = useState(false)
  const series = seriesOf(shown, height, floor, soft)
  useKeys({
    l: () => setQuery({ y: height === 'log' ? 'linear' : 'log' }),
    s: () => setQuery({ s: soft > 0 ? '0' : String(SMOOTH_OF_BATCHES) }),
  })
  const best = lowest(shown.epoch, shown.train)
  return (
    <Card title="Loss" className="loss" side={<Tools {...{ height, certain, soft, batches }} />}>
      <Line
        x={shown.epoch}
        series={series}
        log={height !== 'linear'}
        floor={height === 'above' ? null : floor}
        clip={job.state !== 'failed'}
        marks={marksOf(job, shown, series, height)}
        range={range}
        onRange={zoom}
        onPoint={setPlace}
        label={`Loss of ${job.name ?? job.id}`}
        summary={curveSummary(latest(shown.epoch, shown.train), shown.train[0] ?? null, best)}
        save={picture}
      />
      <Zoom range={range} last={curve.length ? curve.epoch[curve.length - 1]! : 0} />
      <Legend x={shown.epoch} series={series} log={height !== 'linear'} place={place} />
      <p class="small caption">
        {notes(shown, height, soft, live.curve.length === 0).map((text) => `${text} `)}
        <button type="button" class="link" aria-expanded={table} onClick={() => setTable(!table)}>
          {table ? 'Hide the table' : 'Show as table'}
        </button>{' '}
        · <Download path={`v1/jobs/${job.id}/history?format=csv`} file={`${job.id}.csv`} accept="text/csv">CSV</Download> ·{' '}
        <button type="button" class="link" onClick={() => picture.current?.()}>PNG</button> ·{' '}
        <CopyLink text={() => location.href}>Copy link</CopyLink>
      </p>
      {table && <Table curve={shown} />}
    </Card>
  )
}

function heightOf(asked: string | null, job: Job, certain: boolean): Height {
  if (asked === 'linear' || asked === 'log' || (asked === 'above' && certain)) return asked
  const of = job.resolved_hyperparameters
  const straight = certain && of.loss === 'squared' && of.batch_size === null && job.state !== 'failed'
  return straight && job.stop_reason !== 'solved' ? 'above' : 'log'
}

function rangeOf(query: URLSearchParams): [number, number] | null {
  const [from, to] = [query.get('from'), query.get('to')].map((word) => (word === null ? NaN : Number(word)))
  return from! < to! ? [from!, to!] : null
}

function zoom(range: [number, number] | null): void {
  const whole = range?.map((value) => String(Math.round(value)))
  if (whole && whole[0] === whole[1]) return
  setQuery({ from: whole?.[0], to: whole?.[1] })
}

/** The curve of a zoom: where points were left out, they are asked for. */
function useZoomed(job: Job, curve: Curve, range: [number, number] | null): Curve {
  const [settled, setSettled] = useState(range)
  const key = range?.join()
  useEffect(() => {
    const timer = setTimeout(() => setSettled(range), ZOOM_MILLISECONDS)
    return () => clearTimeout(timer)
  }, [key])
  const wanted = range && settled && curve.sampled ? settled : null
  const { value } = useResource(
    wanted && ((signal) => {
      const path = `v1/jobs/${job.id}/history?start=${Math.max(0, Math.floor(wanted[0]))}&stop=${Math.ceil(wanted[1]) + 1}&max_points=${MAX_POINTS}`
      return isTerminal(job.state) ? getOnce<History>(path) : get<History>(path, signal)
    }),
    [job.id, wanted?.join()],
  )
  const finer = useMemo(() => (value ? Curve.of(value) : null), [value])
  return wanted && finer?.length ? finer : curve
}

function seriesOf(curve: Curve, height: Height, floor: number | null, soft: number): Series[] {
  const smooth = curve.length >= 5 ? soft : 0
  if (height === 'above') return [{ name: 'Train', y: aboveOf(curve, floor), slot: 1, smooth }]
  const train: Series = { name: 'Train', y: curve.train, slot: 1, smooth }
  if (!curve.hasEval) return [train]
  return [train, { name: 'Evaluation', y: curve.eval, slot: 2, dash: [7, 4], smooth }]
}

function aboveOf(curve: Curve, floor: number | null): Float64Array {
  return curve.gap.some(Number.isFinite) || floor === null ? curve.gap : curve.train.map((value) => value - floor)
}

function marksOf(job: Job, curve: Curve, series: Series[], height: Height): Mark[] {
  const marks: Mark[] = []
  if (job.error?.code === 'diverged') {
    const turn = lowest(curve.epoch, curve.train)
    if (turn) marks.push({ kind: 'turn', x: turn.epoch, text: `turns upward at epoch ${integer(turn.epoch)}` })
    return marks
  }
  for (const one of series) {
    const best = lowest(curve.epoch, one.y)
    const now = latest(curve.epoch, one.y)
    if (height !== 'above' && one.slot === 2 && best && now && best.epoch !== now.epoch)
      marks.push({ kind: 'best', x: best.epoch, y: best.value, slot: one.slot })
    if (now && one.slot === 1) marks.push({ kind: 'latest', x: now.epoch, y: now.value, slot: one.slot })
  }
  return marks
}

const HEIGHTS = [['linear', 'Linear'], ['log', 'Log'], ['above', 'Above minimum']] as const

interface ToolsProps { height: Height; certain: boolean; soft: number; batches: boolean }

function Tools({ height, certain, soft, batches }: ToolsProps) {
  return (
    <div class="row tools">
      <Segments label="Height" value={height} options={certain ? HEIGHTS : HEIGHTS.slice(0, 2)} onChange={(y) => setQuery({ y })} />
      <label class="smooth">
        <span>Smooth</span>
        <input
          type="range" min="0" max="0.95" step="0.05" value={soft}
          aria-valuetext={soft ? `${Math.round(soft * 100)} percent` : 'off'}
          onInput={({ currentTarget: { value } }) =>
            setQuery({ s: Number(value) === (batches ? SMOOTH_OF_BATCHES : 0) ? undefined : value })}
        />
      </label>
    </div>
  )
}

function Zoom({ range, last }: { range: [number, number] | null; last: number }) {
  const part = (of: number) => () => zoom([last * (1 - of), last])
  return (
    <div class="row chips">
      {range && (
        <button type="button" class="chip" onClick={() => zoom(null)}>
          Epochs {integer(range[0])} to {integer(range[1])} <span aria-hidden="true">×</span>
          <span class="unseen">Show all</span>
        </button>
      )}
      <span class="touch row">
        <button type="button" class="chip" onClick={() => zoom(null)}>All</button>
        <button type="button" class="chip" onClick={part(0.5)}>Last half</button>
        <button type="button" class="chip" onClick={part(0.1)}>Last 10 %</button>
      </span>
    </div>
  )
}

/** The values of what is pointed at, else the latest; always in the same place. */
interface LegendProps { x: ArrayLike<number>; series: Series[]; log: boolean; place: number | null }

function Legend({ x, series, log, place }: LegendProps) {
  const edge = lowestDrawn(series.map((one) => one.y), log)
  const at = place !== null && place < x.length ? place : null
  return (
    <table class="legend">
      <thead>
        <tr>
          <th scope="col"><span class="unseen">Line</span></th>
          <th scope="col" class="number">{at === null ? 'latest' : `epoch ${integer(x[at])}`}</th>
          <th scope="col" class="number">best</th>
          <th scope="col" class="number">at epoch</th>
        </tr>
      </thead>
      <tbody>
        {series.map((one) => {
          const best = lowest(x, one.y, edge)
          const value = at === null ? latest(x, one.y)?.value : one.y[at]
          return (
            <tr key={one.name}>
              <th scope="row"><Swatch slot={one.slot} dash={one.dash} /> {one.name}</th>
              <td class="number" title={value === undefined ? '' : String(value)}>{told(value, edge)}</td>
              <td class="number">{told(best?.value, edge)}</td>
              <td class="number">{best ? integer(best.epoch) : '–'}</td>
            </tr>
          )
        })}
      </tbody>
    </table>
  )
}

export function Swatch({ slot, dash }: { slot: number; dash?: number[] }) {
  return (
    <svg class={`swatch s${slot}`} width="18" height="8" aria-hidden="true">
      <path d="M0 4h18" stroke-dasharray={dash?.join(' ')} />
    </svg>
  )
}

function notes(curve: Curve, height: Height, soft: number, empty: boolean): string[] {
  if (empty) return ['No epoch has been reported yet.']
  return [
    curve.sampled && `${integer(curve.length)} of ${integer(curve.total)} points, shape kept.`,
    height === 'above' && 'Distance of the objective from its lowest possible value.',
    soft > 0 && curve.length >= 5 && 'Faint: every measured value. Solid: smoothed. The table shows measured values only.',
    'Drag to zoom, double-click to reset.',
  ].filter((text): text is string => !!text)
}

const PAGE_ROWS = 100

function Table({ curve }: { curve: Curve }) {
  const [page, setPage] = useState(0)
  const pages = Math.max(1, Math.ceil(curve.length / PAGE_ROWS))
  const now = Math.min(page, pages - 1)
  const rows = Array.from({ length: Math.min(PAGE_ROWS, curve.length - now * PAGE_ROWS) }, (_, i) => now * PAGE_ROWS + i)
  const names = curve.hasEval ? (['train', 'eval', 'gap'] as const) : (['train', 'gap'] as const)
  const heads = { train: 'train loss', eval: 'evaluation loss', gap: 'above minimum' }
  return (
    <>
      <div class="scroll values" tabIndex={0} role="region" aria-label="Losses by epoch">
        <table>
          <thead>
            <tr><th scope="col" class="number">epoch</th>{names.map((name) => <th scope="col" class="number">{heads[name]}</th>)}</tr>
          </thead>
          <tbody>
            {rows.map((i) => (
              <tr>
                <th scope="row" class="number">{integer(curve.epoch[i])}</th>
                {names.map((name) => <td class="number">{Number.isFinite(curve[name][i]!) ? String(curve[name][i]) : '–'}</td>)}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {pages > 1 && (
        <div class="row small">
          <button type="button" class="button" disabled={now === 0} onClick={() => setPage(now - 1)}>Previous</button>
          Page {now + 1} of {pages}
          <button type="button" class="button" disabled={now === pages - 1} onClick={() => setPage(now + 1)}>Next</button>
        </div>
      )}
    </>
  )
}
