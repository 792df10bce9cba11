// Which files the server reads, by their names. Pure.

const TYPES: Record<string, string> = {
  csv: 'text/csv', tsv: 'text/tab-separated-values', txt: 'text/csv',
  parquet: 'application/vnd.apache.parquet', pq: 'application/vnd.apache.parquet',
  arrow: 'application/vnd.apache.arrow.file', feather: 'application/vnd.apache.arrow.file', arrows: 'application/vnd.apache.arrow.stream',
  ndjson: 'application/x-ndjson', jsonl: 'application/x-ndjson', json: 'application/json',
  npy: 'application/x-npy', npz: 'application/x-npz',
}
export const ACCEPTED = [...Object.keys(TYPES), 'gz', 'zst'].map((one) => `.${one}`).join(',')

/** The media type of a file by its name; a reason where it is none that the server reads. */
export function typeOf(name: string): { type: string; packed: 'gzip' | 'zstd' | null } | { refused: string } {
  const packed = /\.gz$/i.test(name) ? 'gzip' : /\.zst$/i.test(name) ? 'zstd' : null
  const ending = name.replace(/\.(gz|zst)$/i, '').split('.').pop()!.toLowerCase()
  if (/^xlsx?$|^ods$/.test(ending)) return { refused: 'This looks like a spreadsheet; save it as CSV or Parquet.' }
  const type = TYPES[ending]
  return type ? { type, packed } : { refused: `Descend reads CSV, Parquet, Arrow, NDJSON, JSON, npy and npz, not .${ending}.` }
}
