// Which rows the lesson is about: data set, target, columns, start.
import { go, href } from '../../router'
import type { Dataset } from '../../wire'
import { chosen } from './choice'

interface SetupProps { query: URLSearchParams; datasets: Dataset[]; dataset: Dataset }

export function Setup({ query, datasets, dataset }: SetupProps) {
  const { target, features, raw } = chosen(query, dataset)
  const start = query.get('start') ?? 'zeros'
  const change = (changes: Record<string, string | string[]>) =>
    go(href('learn', {
      data: dataset.id, target, x: features, raw: raw ? '1' : '0', start,
      momentum: query.get('momentum') ?? undefined, ...changes,
    }))
  const others = dataset.columns.filter((one) => one.name !== target)
  return (
    <div class="row setup">
      <Choice label="Rows" value={dataset.id} options={datasets.map((one) => [one.id, one.name ?? one.id])}
        onChange={(data) => go(href('learn', { data }))} />
      <Choice label="Predict" value={target} options={numeric(dataset).map((name) => [name, name])}
        onChange={(next) => change({ target: next, x: features.filter((name) => name !== next) })} />
      {others.length > 1 && (
        <details class="columns">
          <summary>from {features.length === 1 ? features[0] : `${features.length} columns`}</summary>
          <div class="menu">
            {others.map(({ name }) => (
              <label class="check">
                <input type="checkbox" checked={features.includes(name)} onChange={() => change({ x: toggled(features, name) })} />
                {name}
              </label>
            ))}
          </div>
        </details>
      )}
      <Choice label="Start" value={start} options={[['zeros', 'zeros'], ['torch', 'as nn.Linear']]} onChange={(next) => change({ start: next })} />
      <label class="check">
        <input type="checkbox" checked={!raw} onChange={() => change({ raw: raw ? '0' : '1' })} /> standardize
      </label>
    </div>
  )
}

const numeric = (dataset: Dataset) => dataset.columns.filter((one) => one.dtype !== 'string').map((one) => one.name)

const toggled = (names: string[], name: string) => {
  const next = names.includes(name) ? names.filter((one) => one !== name) : [...names, name]
  return next.length ? next : names
}

interface ChoiceProps {
  label: string
  value: string
  options: readonly (readonly [value: string, text: string])[]
  onChange: (value: string) => void
}

export function Choice({ label, value, options, onChange }: ChoiceProps) {
  return (
    <label class="choice">
      <span class="small">{label}</span>
      <select value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        {options.map(([one, text]) => <option value={one} selected={one === value}>{text}</option>)}
      </select>
    </label>
  )
}
