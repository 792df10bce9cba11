// Use this model: code to copy in three languages, files to download; on the job and model pages.
import { useState } from 'preact/hooks'
import { hasKey, request, urlOf } from './api'
import { Button, Card, Copy, saveFile, Segments } from './controls'
import type { Dataset, Input, Model } from './wire'

export type Language = 'curl' | 'python' | 'shell'
export const LANGUAGES = [['curl', 'curl'], ['python', 'Python'], ['shell', 'Shell']] as const

const FORMATS = [['onnx', 'ONNX'], ['safetensors', 'safetensors'], ['json', 'JSON'], ['npz', 'npz']] as const

export function Usage({ model, dataset, jobId }: { model: Model; dataset?: Dataset; jobId?: string }) {
  const [language, setLanguage] = useState<Language>('curl')
  const code = predictCode(language, model, sampleRow(model, dataset), origin())
  return (
    <Card
      title="Use this model"
      side={
        <div class="row">
          <Segments label="Language" value={language} options={LANGUAGES} onChange={setLanguage} />
          <Copy text={code} />
        </div>
      }
    >
      <pre tabIndex={0}>{code}</pre>
      <p class="row downloads">
        <span class="muted">Download</span>
        {FORMATS.map(([format, name]) => (
          <Download path={`v1/models/${model.id}/export?format=${format}`} file={`${model.id}.${format}`}>{name}</Download>
        ))}
        {jobId && (
          <Download path={`v1/jobs/${jobId}/history?format=csv`} file={`${jobId}.csv`} accept="text/csv">history.csv</Download>
        )}
      </p>
    </Card>
  )
}

interface DownloadProps { path: string; file: string; accept?: string; children: string }

/** A plain link; with a key, which links cannot carry, the file is fetched and then stored. */
export function Download({ path, file, accept = '*/*', children }: DownloadProps) {
  if (!hasKey()) return <a href={urlOf(path)} download={file}>{children}</a>
  const fetched = async () => saveFile(file, await (await request(path, { headers: { accept } })).blob())
  return <Button class="link" onClick={fetched}>{children}</Button>
}

export const origin = () => urlOf('').replace(/\/$/, '')

/** The columns that a model takes, before any encoding. */
export const inputsOf = (model: Model): Input[] =>
  model.encoding?.inputs ?? model.features.map((name) => ({ kind: 'numeric', name, fill: null }))

/** A row as the model takes it: the columns' means, the levels' first. */
export function sampleRow(model: Model, dataset?: Dataset): Record<string, number | string | boolean> {
  return Object.fromEntries(inputsOf(model).map((input) => {
    if (input.kind === 'categorical') return [input.name, input.levels![0]!]
    if (input.boolean) return [input.name, true]
    const mean = dataset?.columns.find((column) => column.name === input.name)?.mean ?? 1
    return [input.name, Number(mean.toPrecision(3))]
  }))
}

/** Write how to ask the model; a key is named, never shown. */
export function predictCode(
  language: Language, model: Model, row: Record<string, unknown>, at: string, keyed = hasKey(),
): string {
  const rows = JSON.stringify({ rows: [row] })
  const header = keyed ? ` \\\n  -H "Authorization: Bearer $DESCEND_API_KEY"` : ''
  switch (language) {
    case 'curl':
      return `curl ${at}/v1/models/${model.id}/predict${header} \\\n` +
        `  -H 'content-type: application/json' \\\n  -d '${quoted(rows)}'`
    case 'python':
      return `from descend import Client\n\nwith Client("${at}") as client:\n` +
        `    model = client.model("${model.id}")\n    print(model.predict(model.encode([${python(row)}])))`
    case 'shell':
      return `descend predict ${model.id} rows.csv --url ${at}`
  }
}

/** Inside single quotes of a shell. */
export const quoted = (text: string) => text.replaceAll("'", `'\\''`)

/** Write JSON's values as Python's. */
export function python(value: unknown): string {
  if (value === null || value === undefined) return 'None'
  if (value === true) return 'True'
  if (value === false) return 'False'
  if (Array.isArray(value)) return `[${value.map(python).join(', ')}]`
  if (typeof value === 'object')
    return `{${Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${python(one)}`).join(', ')}}`
  return JSON.stringify(value)
}
