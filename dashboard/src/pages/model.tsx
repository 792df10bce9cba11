// A model: its weights, what its residuals say, a row to try, and how to use it.
import { useEffect, useState } from 'preact/hooks'
import { ApiError, get, getOnce, post, told } from '../api'
import { Card, Failure } from '../controls'
import { number, percent, plural, shortId, when } from '../format'
import { Residuals } from '../residuals'
import { useResource } from '../resource'
import { href } from '../router'
import type { PageProps } from '../router'
import { setTitle } from '../title'
import { inputsOf, Usage } from '../usage'
import { Weights } from '../weights'
import type { Dataset, Input, Model, Predictions, Summary } from '../wire'

export default function ModelPage({ route: { id } }: PageProps) {
  const { value: model, error } = useResource((signal) => get<Model>(`v1/models/${id}`, signal), [id])
  const summary = useResource(model ? () => getOnce<Summary>(`v1/models/${id}/summary`) : null, [model?.id])
  const data = model?.provenance?.dataset_id
  const dataset = useResource(data ? () => getOnce<Dataset>(`v1/datasets/${data}`) : null, [data])
  useEffect(() => setTitle(model ? `Model of ${model.targets.join(', ')}` : 'Model'), [model])
  if (error) return <><h1>No such model</h1><Failure error={error} /></>
  if (!model) return null
  const { provenance, metrics } = model
  const r2 = typeof metrics.r2 === 'number' ? ` It explains ${percent(metrics.r2)} of the variance of its ${plural(Number(metrics.n_samples ?? 0), 'training row')}.` : ''
  return (
    <>
      <p class="crumbs">{provenance && <><a href={href(`jobs/${provenance.job_id}`)}>The job that trained it</a> / </>}<span class="mono">{shortId(id)}</span></p>
      <h1>{model.targets.join(', ')} from {plural(inputsOf(model).length, 'column')}</h1>
      <p class="sentence">{plural(model.features.length, 'weight')} and {model.targets.length === 1 ? 'an intercept' : 'intercepts'}, in original units, trained {when(model.created_at)}{dataset.value && <> on <a href={href(`data/${dataset.value.id}`)}>{dataset.value.name ?? 'data'}</a></>}.{r2}</p>
      <div class="stack below">
        <Try model={model} dataset={dataset.value} summary={summary.value} />
        <Weights model={model} summary={summary.value} dataset={dataset.value} />
        <Residuals modelId={id} />
        <Usage model={model} dataset={dataset.value} jobId={provenance?.job_id} />
      </div>
    </>
  )
}

const PATIENCE = 150

interface TryProps { model: Model; dataset?: Dataset; summary?: Summary }

/** One field for each column: the model answers while one types. */
function Try({ model, dataset, summary }: TryProps) {
  const inputs = inputsOf(model)
  const [typed, setTyped] = useState<Record<string, string>>({})
  const [row, setRow] = useState<Record<string, unknown> | null>(null)
  const means = dataset?.columns
  useEffect(() => {
    const later = setTimeout(() => setRow(rowOf(inputs, typed, dataset)), PATIENCE)
    return () => clearTimeout(later)
  }, [typed, dataset])
  const level = summary && !summary.refused
  const { value, error } = useResource(
    row && summary ? async (signal) => {
      const ask = (interval?: object) => predict(model.id, row, interval, signal)
      return level ? ask({ level: 0.95 }).catch((problem: unknown) => (problem instanceof ApiError && problem.status === 409 ? ask() : Promise.reject(problem))) : ask()
    } : null, [row, summary])
  const outside = inputs.flatMap((input) => warningOf(input, row?.[input.name], means))
  return (
    <Card title="Try it">
      <div class="fields">
        {inputs.map((input) => <Field key={input.name} input={input} typed={typed[input.name] ?? ''} mean={meanOf(input, dataset)} onType={(text) => setTyped({ ...typed, [input.name]: text })} />)}
      </div>
      <p class="answer" role="status">{error ? <span class="bad">{told(error)}</span> : value ? <Answer of={value} /> : ' '}</p>
      {outside.map((text) => <p class="refusal">{text}</p>)}
      {summary?.refused && <p class="refusal">No interval: {summary.refused}.</p>}
    </Card>
  )
}

const predict = (id: string, row: object, interval: object | undefined, _: AbortSignal) =>
  post<Predictions>(`v1/models/${id}/predict`, { rows: [row], ...(interval ? { interval } : {}) })

function Answer({ of }: { of: Predictions }) {
  return (
    <>
      {of.targets.map((target, i) => (
        <span>
          <b>{number(of.y[0]![i])} {target}</b>
          {of.interval && <>, 95 % of such rows between {number(of.interval.low[0]![i])} and {number(of.interval.high[0]![i])}</>}
          {i < of.targets.length - 1 ? '; ' : ''}
        </span>
      ))}
    </>
  )
}

const meanOf = (input: Input, dataset?: Dataset) => dataset?.columns.find((one) => one.name === input.name)?.mean ?? null

interface FieldProps { input: Input; typed: string; mean: number | null; onType: (text: string) => void }

function Field({ input, typed, mean, onType }: FieldProps) {
  const levels = input.kind === 'categorical' ? input.levels! : input.boolean ? ['true', 'false'] : null
  return (
    <label class="field"><span>{input.name}</span>
      {levels ? (
        <select onChange={(event) => onType(event.currentTarget.value)}>{levels.map((one) => <option>{one}</option>)}</select>
      ) : (
        <input inputMode="decimal" value={typed} placeholder={mean === null ? '0' : String(Number(mean.toPrecision(4)))} onInput={(event) => onType(event.currentTarget.value)} />
      )}
    </label>
  )
}

/** A field that is empty is at its mean; a comma is read as a point. */
function rowOf(inputs: Input[], typed: Record<string, string>, dataset?: Dataset): Record<string, unknown> {
  return Object.fromEntries(inputs.map((input) => {
    const text = typed[input.name]?.trim()
    if (input.kind === 'categorical') return [input.name, text || input.levels![0]]
    if (input.boolean) return [input.name, text !== 'false']
    return [input.name, text ? (Number.isFinite(Number(text.replace(',', '.'))) ? Number(text.replace(',', '.')) : text) : Number((meanOf(input, dataset) ?? 0).toPrecision(4))]
  }))
}

function warningOf({ name }: Input, value: unknown, columns: Dataset['columns'] = []): string[] {
  const { min, max } = columns.find((one) => one.name === name) ?? { min: null, max: null }
  if (typeof value !== 'number' || min === null || max === null) return []
  if (value > max) return [`${number(value)} is above the largest ${name} in the data (${number(max)}).`]
  return value < min ? [`${number(value)} is below the smallest ${name} in the data (${number(min)}).`] : []
}
