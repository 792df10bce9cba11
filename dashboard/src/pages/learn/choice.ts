// Which rows an address means.
import { guessTarget } from '../../spec'
import type { Dataset } from '../../wire'

export const NOTEBOOK = 'notebook'

/** Target and columns: those of the address, else the likeliest target and its first column. */
export function chosen(query: URLSearchParams, dataset: Dataset): { target: string; features: string[]; raw: boolean } {
  const all = dataset.columns.map((one) => one.name)
  const numeric = dataset.columns.filter((one) => one.dtype !== 'string').map((one) => one.name)
  const target = query.get('target') ?? guessTarget(dataset)
  const asked = query.getAll('x').filter((name) => all.includes(name))
  const features = asked.length ? asked : numeric.filter((name) => name !== target).slice(0, 2)
  return { target, features, raw: (query.get('raw') ?? (dataset.name === NOTEBOOK ? '1' : '0')) === '1' }
}
