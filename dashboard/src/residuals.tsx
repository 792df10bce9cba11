// Is a straight line enough? What a model's residuals say; shown by the job and by the model page.
import { useState } from 'preact/hooks'
import { answered } from './api'
import { Scatter } from './chart/Scatter'
import type { Point } from './chart/Scatter'
import { Card, Failure } from './controls'
import { integer } from './format'
import { useResource } from './resource'
import { Targets } from './weights'
import type { Diagnostics, ResidualTest } from './wire'

type OfTarget = Diagnostics['targets'][number]

const CLEAR = 0.01 // p below which a sentence about the data is printed

export function Residuals({ modelId }: { modelId: string }) {
  const [place, setPlace] = useState(0)
  const { value, error, reload } = useResource(
    (signal) => answered<Diagnostics>(`v1/models/${modelId}/diagnostics`, undefined, signal), [modelId])
  const target = value?.targets[place]
  return (
    <Card title="Is a straight line enough?" side={value && <span class="small">{rowsTold(value, target!)}</span>}>
      {value && value.targets.length > 1 && (
        <Targets names={value.targets.map((one) => one.target)} value={place} onChange={setPlace} />
      )}
      {error ? <Failure error={error} again={reload} /> : target ? <Panels of={target} /> : <div class="plots waiting" />}
      {value?.warnings.map((text) => <p class="refusal">{text}</p>)}
    </Card>
  )
}

function rowsTold({ n_samples, n_eval_samples, sampled }: Diagnostics, { rows }: OfTarget): string {
  const all = `${integer(n_samples)} training rows${n_eval_samples ? `, ${integer(n_eval_samples)} held out as rings` : ''}`
  return sampled ? `${integer(rows.length)} drawn from ${all}` : all
}

const spread = (one: Point) => Math.abs(one.y)

function Panels({ of }: { of: OfTarget }) {
  const point = (row: OfTarget['rows'][number], x: number, y: number) =>
    ({ x, y, row: row.row, held: row.split === 'eval' })
  const fitted = of.rows.map((row) => point(row, row.predicted, row.actual))
  const left = of.rows.map((row) => point(row, row.predicted, row.residual))
  return (
    <div class="plots">
      <Panel title={`Predicted and actual ${of.target}`} text="Points on the dashed line are predicted exactly.">
        <Scatter points={fitted} x="predicted" rule="identity" square
          extreme={(one) => Math.abs(one.y - one.x)} label={`${of.target}: actual values against predicted ones`} />
      </Panel>
      <Panel title="Residuals" text={bends(of.tests)}>
        <Scatter points={left} x={`predicted ${of.target}`} rule="zero" curve={left.length >= 10}
          extreme={spread} label="Residuals against predicted values" />
      </Panel>
      <Panel title="Normal Q-Q" text={tails(of.tests)}>
        {of.quantiles ? (
          <Scatter points={of.quantiles.normal.map((x, i) => ({ x, y: of.quantiles!.std_residual[i]! }))}
            x="expected of a normal" rule="identity" label="Standardized residuals against normal quantiles" />
        ) : (
          <p class="refusal">The residuals are rounding: every row is predicted exactly.</p>
        )}
      </Panel>
    </div>
  )
}

function Panel({ title, text, children }: { title: string; text: string; children: preact.ComponentChildren }) {
  return (
    <figure>
      <figcaption>
        <h3>{title}</h3>
        <p class="plot-title">{text}</p>
      </figcaption>
      {children}
    </figure>
  )
}

/** Print a sentence about the data only where a named test says so. */
export function bends(tests: ResidualTest[]): string {
  const p = (name: ResidualTest['name']) => tests.find((test) => test.name === name)?.p ?? 1
  const curved = p('curvature') < CLEAR && 'This one bends: a squared column may help.'
  const fanned = p('breusch_pagan') < CLEAR &&
    'The spread changes with the prediction: intervals are too narrow where it is wide.'
  return ['A flat orange curve is good.', curved, fanned].filter(Boolean).join(' ')
}

export function tails(tests: ResidualTest[]): string {
  const p = tests.find((test) => test.name === 'tails')?.p ?? 1
  return p < CLEAR
    ? 'The ends leave the dashed line: extreme rows are more frequent, or fewer, than a normal distribution has.'
    : 'On the dashed line the residuals are as a normal distribution has them, which intervals rest on.'
}
