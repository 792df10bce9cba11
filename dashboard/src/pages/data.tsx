// Data: the list of data sets; of one its profile, first rows, jobs, and what can be done with it.
import { useEffect, useState } from 'preact/hooks'
import { get, getOnce, send } from '../api'
import { StateBadge } from '../badges'
import { Button, Card, Dialog, Failure, toast } from '../controls'
import { bytes, integer, number, plural, shortId, trimmed, when } from '../format'
import { Profile } from '../profile'
import { useResource } from '../resource'
import { go, href } from '../router'
import type { PageProps } from '../router'
import { setTitle } from '../title'
import { FileButton } from '../upload'
import type { Dataset, Job, Page, Preview } from '../wire'

export default function Data({ route }: PageProps) {
  return route.id ? <One id={route.id} /> : <List />
}

const SHOWN = 50

function List() {
  const [pages, setPages] = useState<Dataset[]>([])
  const [after, setAfter] = useState('')
  const [sought, setSought] = useState('')
  const query = `limit=${SHOWN}${after && `&after=${after}`}${sought && `&q=${encodeURIComponent(sought)}`}`
  const { value, error, reload } = useResource((signal) => get<Page<Dataset>>(`v1/datasets?${query}`, signal), [query])
  useEffect(() => setTitle('Data'), [])
  useEffect(() => {
    if (value) setPages((before) => (after ? [...before, ...value.data] : value.data))
  }, [value])
  const search = (text: string) => (setAfter(''), setSought(text))
  return (
    <>
      <div class="page-head"><h1>Data</h1><FileButton primary>Upload a file</FileButton></div>
      <p class="row tools above"><input class="search" type="search" aria-label="Search by name" placeholder="name…" value={sought} onInput={(event) => search(event.currentTarget.value)} />
        <span class="small">Drop a file anywhere to upload it.</span></p>
      {error ? <Failure error={error} again={reload} /> : null}
      {value && !pages.length && <p class="sentence">{sought ? `No data with “${sought}” in its name.` : 'No data yet. Drop a CSV here.'}</p>}
      {pages.length > 0 && (
        <Card title={sought ? 'Found' : 'Newest first'}>
          <div class="scroll" tabIndex={0} role="group" aria-label="Data sets">
            <table>
              <thead><tr><th>name</th><th class="number">rows</th><th class="number">columns</th><th class="number">size</th><th>format</th><th class="number">created</th></tr></thead>
              <tbody>
                {pages.map((one) => (
                  <tr key={one.id}>
                    <th scope="row"><a href={href(`data/${one.id}`)}>{one.name ?? shortId(one.id)}</a></th>
                    <td class="number">{integer(one.n_rows)}</td><td class="number">{integer(one.n_columns)}</td>
                    <td class="number muted">{bytes(one.size_bytes)}</td><td class="muted">{one.format}</td><td class="number muted">{when(one.created_at)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          {value?.has_more && <Button onClick={() => setAfter(value.last_id!)}>Show {SHOWN} more</Button>}
        </Card>
      )}
    </>
  )
}

function One({ id }: { id: string }) {
  const dataset = useResource((signal) => get<Dataset>(`v1/datasets/${id}`, signal), [id])
  const jobs = useResource((signal) => get<Page<Job>>(`v1/jobs?dataset=${id}&limit=100`, signal), [id])
  const one = dataset.value
  useEffect(() => setTitle(one?.name ?? 'Data'), [one])
  if (dataset.error) return <><p class="crumbs"><a href="#/data">Data</a></p><h1>No such data</h1><Failure error={dataset.error} /></>
  if (!one) return null
  return (
    <>
      <p class="crumbs"><a href="#/data">Data</a> / <span class="mono">{shortId(id)}</span></p>
      <div class="page-head">
        <h1>{one.name ?? 'Data without a name'}</h1>
        <div class="row">
          <a class="button primary" href={href('new', { data: id })}>Train on this</a>
          <a class="button" href={href('learn', { data: id })}>Open as lesson</a>
          <Delete dataset={one} jobs={jobs.value?.data ?? []} />
        </div>
      </div>
      <p class="sentence">{plural(one.n_rows, 'row')} and {plural(one.n_columns, 'column')}, {bytes(one.size_bytes)}, uploaded as {one.format}, {when(one.created_at)}. {missing(one)}</p>
      {one.parent_id && <p class="small">Rows were appended to <a href={href(`data/${one.parent_id}`)}>an earlier version</a> of {plural(one.parent_rows ?? 0, 'row')}.</p>}
      <div class="stack below">
        <Card title="Columns">
          <Profile dataset={one} />
          {one.warnings.map((text) => <p class="refusal">{text}.</p>)}
        </Card>
        <First dataset={one} />
        <Jobs jobs={jobs.value} error={jobs.error} />
      </div>
    </>
  )
}

function missing(one: Dataset): string {
  const holes = one.columns.filter((column) => column.missing > 0)
  return holes.length ? `${plural(holes.length, 'column')} ${holes.length === 1 ? 'has' : 'have'} missing cells.` : 'No cell is missing.'
}

function First({ dataset: { id, n_rows, columns } }: { dataset: Dataset }) {
  const { value, error } = useResource(() => getOnce<Preview>(`v1/datasets/${id}/preview?rows=50`), [id])
  return (
    <Card title="First rows" side={<span class="small">{value ? `${integer(value.rows.length)} of ${plural(n_rows, 'row')}, scroll` : ''}</span>}>
      {error ? <Failure error={error} /> : value && (
        <div class="scroll preview" tabIndex={0} role="group" aria-label="First rows">
          <table>
            <thead><tr><th>row</th>{columns.map(({ name, dtype }) => <th scope="col" class={/64/.test(dtype) ? 'number' : ''}>{name}</th>)}</tr></thead>
            <tbody>
              {value.rows.map((row, i) => (
                <tr><th scope="row">{i + 1}</th>{row.map((cell) => <td class={typeof cell === 'number' ? 'number' : ''}>{cell === null ? <span class="muted">missing</span> : typeof cell === 'number' ? trimmed(cell, 6) : String(cell)}</td>)}</tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Card>
  )
}

function Jobs({ jobs, error }: { jobs?: Page<Job>; error: unknown }) {
  if (error) return <Card title="Jobs on this data"><Failure error={error} /></Card>
  if (!jobs) return null
  return (
    <Card title="Jobs on this data" side={jobs.data.length > 1 && <a href={href('compare', { job: jobs.data.slice(0, 6).map((job) => job.id) })}>Compare the newest</a>}>
      {!jobs.data.length && <p class="refusal">None yet.</p>}
      {jobs.data.length > 0 && (
        <div class="scroll"><table>
          <tbody>{jobs.data.map((job) => (
            <tr key={job.id}><th scope="row"><a href={href(`jobs/${job.id}`)}>{job.name ?? shortId(job.id)}</a></th><td><StateBadge job={job} /></td>
              <td class="muted">{[job.spec.target].flat().join(', ')}</td><td class="number">{number(job.metrics?.train_loss)}</td><td class="number muted">{when(job.created_at)}</td></tr>
          ))}</tbody>
        </table></div>
      )}
    </Card>
  )
}

function Delete({ dataset, jobs }: { dataset: Dataset; jobs: Job[] }) {
  const [asked, setAsked] = useState(false)
  const name = dataset.name ?? shortId(dataset.id)
  const act = async () => {
    await send('DELETE', `v1/datasets/${dataset.id}`)
    toast(`${name} was deleted.`)
    go('#/data')
  }
  return (
    <>
      <Button tone="danger" onClick={() => setAsked(true)}>Delete…</Button>
      {asked && (
        <Dialog title={`Delete ${name}?`} onClose={() => setAsked(false)}>
          <p>Its rows are gone then{jobs.length ? `, and its ${plural(jobs.length, 'job')} cannot be run again` : ''}. Models stay. This cannot be undone.</p>
          <p class="row end"><Button onClick={() => setAsked(false)}>Keep</Button><Button tone="danger" onClick={act}>Delete {name}</Button></p>
        </Dialog>
      )}
    </>
  )
}
