// The weights of a model with what is known of them; shown by the job and by the model page.
import { useState } from 'preact/hooks'
import { Interval } from './chart/Interval'
import { Card, Segments } from './controls'
import { number } from './format'
import { limits } from './math'
import { href } from './router'
import type { Coefficient, Dataset, Model, Summary } from './wire'

interface WeightsProps {
  model: Model
  summary?: Summary
  dataset?: Dataset
  /** Said where standard errors would stand, before there is a summary. */
  pending?: string
  side?: string
}

const INTERCEPT = '(intercept)'
const MOST = 20
type Order = 'effect' | 'name' | 'size'

export function Weights({ model, summary, dataset, pending, side }: WeightsProps) {
  const [place, setPlace] = useState(0)
  const [order, setOrder] = useState<Order>('effect')
  const [sought, setSought] = useState('')
  const [all, setAll] = useState(false)
  const rows = rowsOf(model, summary, place)
  const unit = unitsOf(dataset)
  const found = sorted(rows, order, unit).filter(({ name }) => name.includes(sought))
  const shown = all || rows.length <= 2 * MOST ? found : found.slice(0, MOST)
  const inferred = rows.some((row) => row.std_error !== null)
  return (
    <Card
      title="Weights"
      side={<span class="small">{side ?? `bars: effect of one standard deviation, in ${model.targets[place]}`}</span>}
    >
      {(model.targets.length > 1 || rows.length > 8) && (
        <div class="row tools">
          {model.targets.length > 1 && <Targets names={model.targets} value={place} onChange={setPlace} />}
          <Segments label="Order" value={order} options={ORDERS} onChange={setOrder} />
          {rows.length > 2 * MOST && (
            <input class="search" type="search" aria-label="Search columns" placeholder="column…" value={sought}
              onInput={(event) => setSought(event.currentTarget.value)} />
          )}
        </div>
      )}
      <Rows rows={shown} unit={unit} inferred={inferred} />
      {shown.length < found.length && (
        <button type="button" class="link" onClick={() => setAll(true)}>Show all {found.length} columns</button>
      )}
      {inferred && summary?.definition && <p class="small">Standard errors: {summary.covariance}, {summary.definition}.</p>}
      <Refusal summary={summary} pending={pending} model={model} />
    </Card>
  )
}

const ORDERS = [['effect', 'Effect'], ['name', 'Name'], ['size', 'Size']] as const

export function Targets({ names, value, onChange }: {
  names: string[]; value: number; onChange: (place: number) => void
}) {
  return (
    <label class="row">
      <span class="small">Target</span>
      <select value={value} onChange={(event) => onChange(Number(event.currentTarget.value))}>
        {names.map((name, i) => <option value={i}>{name}</option>)}
      </select>
    </label>
  )
}

function rowsOf(model: Model, summary: Summary | undefined, place: number): Coefficient[] {
  if (summary) return summary.targets[place]!.coefficients
  const bare = { std_error: null, t: null, p: null, low: null, high: null, vif: null }
  const names = [...model.features, INTERCEPT]
  const values = [...model.coef[place]!, model.intercept[place]!]
  return names.map((name, i) => ({ name, estimate: values[i]!, ...bare }))
}

type Unit = (feature: string) => number

/** One standard deviation of a column; a level has none: its effect is that against the base. */
function unitsOf(dataset: Dataset | undefined): Unit {
  const deviations = new Map(dataset?.columns.map((one) => [one.name, one.std]))
  return (feature) => deviations.get(feature) ?? 1
}

function sorted(rows: Coefficient[], order: Order, unit: Unit): Coefficient[] {
  const effect = (row: Coefficient) => Math.abs(row.estimate) * unit(row.name)
  const by: Record<Order, (a: Coefficient, b: Coefficient) => number> = {
    effect: (a, b) => effect(b) - effect(a),
    name: (a, b) => a.name.localeCompare(b.name),
    size: (a, b) => Math.abs(b.estimate) - Math.abs(a.estimate),
  }
  const last = rows.filter((row) => row.name === INTERCEPT)
  return [...rows.filter((row) => row.name !== INTERCEPT).sort(by[order]), ...last]
}

function Rows({ rows, unit, inferred }: { rows: Coefficient[]; unit: Unit; inferred: boolean }) {
  const strips = rows.filter((row) => row.name !== INTERCEPT)
  const ends = strips.flatMap((row) => [row.low ?? row.estimate, row.high ?? row.estimate]
    .map((end) => end * unit(row.name)))
  const shared = limits([0, ...ends])
  return (
    <div class="scroll">
      <table class="weights">
        <thead>
          <tr>
            <th>column</th>
            <th class="number">weight</th>
            {inferred && STATISTICS.map((name) => <th class="number wide">{name}</th>)}
            <th class="strip">effect of one standard deviation</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => <Row key={row.name} row={row} unit={unit(row.name)} inferred={inferred} limits={shared} />)}
        </tbody>
      </table>
    </div>
  )
}

const STATISTICS = ['std. error', 't', '95 % interval']

interface RowProps { row: Coefficient; unit: number; inferred: boolean; limits: [number, number] }

function Row({ row, unit, inferred, limits }: RowProps) {
  const { name, estimate, std_error, t, low, high } = row
  const end = (value: number | null) => (value === null ? null : value * unit)
  return (
    <tr>
      <th scope="row">{name}</th>
      <td class="number" title={String(estimate)}>{number(estimate)}</td>
      {inferred && (
        <>
          <td class="number muted wide">{number(std_error, 3)}</td>
          <td class="number muted wide">{number(t, 3)}</td>
          <td class="number muted wide">{low === null ? '–' : `${number(low, 3)} … ${number(high, 3)}`}</td>
        </>
      )}
      <td class="strip">
        {name !== INTERCEPT && (
          <Interval at={estimate * unit} low={end(low)} high={end(high)} limits={limits}
            quiet={low !== null && high !== null && low <= 0 && high >= 0} />
        )}
      </td>
    </tr>
  )
}

function Refusal({ summary, pending, model }: { summary?: Summary; pending?: string; model: Model }) {
  const reason = summary?.refused
  if (!reason) return pending && !summary ? <p class="refusal">{pending}</p> : null
  const job = model.provenance?.job_id
  return (
    <p class="refusal">
      No standard errors: {reason}.{' '}
      {job && reason.includes('exact') && <a href={href('new', { from: job, optimizer: 'exact' })}>Solve exactly</a>}
    </p>
  )
}
