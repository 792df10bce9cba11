// A table's columns: type, missing, distinct, range; with the use of each where a job is drafted.
import type { ComponentChildren } from 'preact'
import { integer, trimmed } from './format'
import type { Column, Dataset } from './wire'

const TYPES = { float64: 'number', int64: 'whole number', bool: 'true or false', string: 'category' }

interface ProfileProps {
  dataset: Dataset
  use?: (column: Column) => ComponentChildren
}

export function Profile({ dataset, use }: ProfileProps) {
  const less = use ? 'wide' : '' // on a phone there is room for what one decides on
  return (
    <div class={`scroll profile ${use ? 'drafted' : ''}`} tabIndex={0} role="group" aria-label="Columns">
      <table>
        <thead>
          <tr><th>column</th><th class={less}>type</th><th class="number">missing</th><th class={`number ${use ? 'distinct' : ''}`}>distinct</th><th class={less}>{use ? 'min … max' : 'min … mean … max'}</th>{use && <th>use</th>}</tr>
        </thead>
        <tbody>
          {dataset.columns.map((column) => (
            <tr key={column.name}>
              <th scope="row">{column.name}</th>
              <td class={`muted ${less}`}>{TYPES[column.dtype]}</td>
              <td class={`number ${column.missing ? 'warn' : 'muted'}`}>{integer(column.missing)}</td>
              <td class={`number muted ${use ? 'distinct' : ''}`}>{integer(column.distinct)}</td>
              <td class={less}>{rangeOf(column, !use)}</td>
              {use && <td>{use(column)}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function rangeOf({ dtype, min, max, mean, sample }: Column, whole: boolean): string {
  if (dtype === 'string') return sample.slice(0, 3).join(', ') + (sample.length > 3 ? ', …' : '')
  if (min === null) return '–'
  return [min, ...(whole ? [mean] : []), max].map((one) => trimmed(one, 4)).join(' … ')
}
