// The lesson: gradient descent on the user's rows, exact for every rate, checked by the server.
import { useEffect, useMemo, useState } from 'preact/hooks'
import { answered, get, newKey, post } from '../api'
import { Contour } from '../chart/Contour'
import { Course } from '../chart/Course'
import type { Recorded } from '../chart/Course'
import { Modes } from '../chart/Modes'
import { Button, Card, Copy, Failure, Icon } from '../controls'
import { integer, number, percent, plural, rateText } from '../format'
import * as lesson from '../lesson'
import type { Lesson } from '../lesson'
import * as math from '../math'
import type { Method } from '../math'
import { useResource } from '../resource'
import { go, href, setQuery } from '../router'
import type { PageProps } from '../router'
import { setTitle } from '../title'
import type { Dataset, Gradients, History, Job, JobSpec, Page } from '../wire'
import { NOTEBOOK, chosen } from './learn/choice'
import { Rate } from './learn/rate'
import { Setup } from './learn/setup'
import { Steps } from './learn/steps'

/** The lesson's three points are a data set like others, stored by the first visit. */
async function datasetsWith(wanted: string | null, signal: AbortSignal): Promise<Dataset[]> {
  const { data } = await get<Page<Dataset>>('v1/datasets?limit=100', signal)
  if (wanted) {
    if (!data.some((one) => one.id === wanted)) data.push(await get<Dataset>(`v1/datasets/${wanted}`, signal))
  } else if (!data.some((one) => one.name === NOTEBOOK))
    data.push(await post<Dataset>(`v1/datasets?name=${NOTEBOOK}`, { X: [[1], [2], [3]], y: [2, 4, 6] }))
  return data
}

export default function Learn({ route: { query } }: PageProps) {
  const jobId = query.get('job')
  const job = useResource(jobId ? (signal) => get<Job>(`v1/jobs/${jobId}`, signal) : null, [jobId])
  const id = query.get('data')
  const datasets = useResource(jobId ? null : (signal) => datasetsWith(id, signal), [jobId, id])
  const dataset = datasets.value?.find((one) => (id ? one.id === id : one.name === NOTEBOOK))
  const used = job.value?.resolved_hyperparameters
  const refused = used ? lesson.notExact(used) : null
  const spec = useMemo(() => (jobId ? job.value && lesson.specOfJob(job.value) : dataset && specOf(query, dataset)),
    [jobId, job.value, dataset, ...KEYS.map((key) => query.getAll(key).join('\n'))])
  const squared = !used || used.loss === 'squared'
  const asked = useResource(spec && squared ? (signal) => answered<Gradients>('v1/gradients', spec, signal) : null, [spec, squared])
  const found = useMemo(() => asked.value && lesson.lessonOf(asked.value), [asked.value])
  useEffect(() => setTitle('Learn'), [])
  const error = job.error ?? datasets.error ?? asked.error
  return (
    <>
      <p class="crumbs"><a href="#/learn">Learn</a> / {crumbs(job.value, query, dataset)}</p>
      <div class="page-head"><h1>One step of gradient descent, on your data</h1></div>
      {asked.value ? <Opening told={asked.value} /> : <p class="sentence muted">{error ? ' ' : 'Asking the server for the gradient…'}</p>}
      {refused && <p class="note"><Icon name="warning" /><span>{refused}</span></p>}
      {dataset && <Setup query={query} datasets={datasets.value!} dataset={dataset} />}
      {error ? <Failure error={error} again={asked.reload} /> : null}
      {found && spec && <Drawn key={JSON.stringify(spec)} of={found} spec={spec} job={job.value} exact={!refused} query={query} />}
      {asked.value && !found && <p class="refusal">No exact curve: {asked.value.refused ?? 'the minimum is not known'}.</p>}
    </>
  )
}

const KEYS = ['data', 'target', 'x', 'start', 'raw']

function specOf(query: URLSearchParams, dataset: Dataset): JobSpec {
  const { target, features, raw } = chosen(query, dataset)
  const init = query.get('start') ?? 'zeros'
  return { dataset: dataset.id, target, features, missing: 'drop', hyperparameters: { standardize: !raw, init, seed: 0 } }
}

function crumbs(job: Job | undefined, query: URLSearchParams, dataset: Dataset | undefined) {
  if (job) return <a href={href(`jobs/${job.id}`)}>{job.name ?? 'the job'}</a>
  if (!dataset) return ''
  const { target, features } = chosen(query, dataset)
  return `${dataset.name ?? 'data'} / ${target} from ${features.length > 3 ? plural(features.length, 'column') : features.join(', ')}`
}

function Opening({ told }: { told: Gradients }) {
  const names = lesson.symbols(told.parameters)
  const start = told.weights[0]!
  const at = names.length <= 3
    ? names.map((name, j) => `${name} = ${number(start[j]!)}`).join(', ')
    : start.every((one) => one === 0) ? 'all weights 0' : `${names.length} numbers`
  const how = names.length === 1 ? 'this number' : names.length === 2 ? 'both numbers' : `all ${names.length} numbers`
  return (
    <p class="sentence">
      The line is <b>{lesson.equation(told)}</b>. It starts at {at} and each step moves {how} a little downhill.
      Everything below is computed from your {plural(told.n_samples, 'row')}
      {told.coordinates === 'standardized' ? '; columns are measured in standard deviations from their mean' : ''}.
    </p>
  )
}

interface DrawnProps { of: Lesson; spec: JobSpec; job?: Job; exact: boolean; query: URLSearchParams }

function Drawn({ of: taught, spec, job, exact, query }: DrawnProps) {
  const { of, told } = taught
  const used = job && exact ? job.resolved_hyperparameters : undefined
  const momentum = Number(query.get('momentum') ?? used?.momentum ?? 0) || 0
  const nesterov = used?.nesterov ?? false
  const fast = math.fastest(of.modes, momentum, nesterov)
  const [rate, setRate] = useState(() => Number(query.get('rate')) || Number(used?.learning_rate) || Number((0.9 * fast).toPrecision(2)))
  const [step, setStep] = useState(() => Math.max(0, Math.round(Number(query.get('step')) || 0)))
  const recorded = useRecorded(job, told)
  const method: Method = { rate, momentum, nesterov }
  const [steps, setSteps] = useState(() => lesson.horizonOf(of, { ...method, rate: Math.min(rate, fast) }))
  const shown = used && job ? Math.max(2, job.progress.epoch - 1) : steps
  useEffect(() => {
    const later = setTimeout(() => setQuery({ rate: String(rate), step: step ? String(step) : undefined }), 300)
    return () => clearTimeout(later)
  }, [rate, step])
  const surface = useMemo(() => lesson.surfaceOf(taught), [taught])
  const names = lesson.symbols(told.parameters)
  const bound = math.limit(of.modes, momentum, nesterov)
  return (
    <div class="stack lesson">
      <Rate of={of} method={method} own={used ? Number(used.learning_rate) : undefined} onChange={setRate} />
      <div class="pair">
        <Card title="Loss after each step" side={<Range value={shown} fixed={Boolean(used)} onChange={setSteps} />}>
          <Course of={of} method={method} steps={shown} step={step} recorded={recorded} label={`The loss after each of ${shown} steps at rate ${rate}`} />
          {recorded && exact && <Agreement recorded={recorded} of={of} method={method} own={Number(used!.learning_rate)} />}
        </Card>
        <Card title="The same steps on the loss surface" side={<span class="small">{aside(surface, names)}</span>}>
          <Contour lesson={taught} surface={surface} method={method} steps={shown} step={step} names={names} />
          {surface.kind === 'bowl' && lesson.stretch(of) > 30 && (
            <p class="small">The valley is {number(lesson.stretch(of), 2)} times longer than wide: standardized columns would be faster.</p>
          )}
        </Card>
      </div>
      {names.length > 2 && <Card title="Each direction by itself"><Modes lesson={taught} method={method} /></Card>}
      <Steps lesson={taught} spec={spec} method={method} step={step} most={shown} onStep={setStep} />
      <Card title="The same in PyTorch" side={<Copy text={() => lesson.pytorch(taught, method, step)} />}>
        <pre tabIndex={0}>{lesson.pytorch(taught, method, step)}</pre>
      </Card>
      <div class="row">
        {typeof spec.dataset === 'string' && <Button tone="primary" onClick={() => train(spec, method)}>Train this for real: 1 000 epochs</Button>}
        <span class="muted">What if…</span>
        <Button onClick={() => setRate(Number((1.04 * bound).toPrecision(4)))}>the rate is above the limit</Button>
        {told.coordinates === 'standardized' && !job && <Button onClick={() => change(query, { raw: '1' })}>columns are unscaled</Button>}
        {!job && <Button onClick={() => change(query, { momentum: momentum ? undefined : '0.9' })}>{momentum ? 'no momentum' : 'momentum is 0.9'}</Button>}
      </div>
    </div>
  )
}

function change(query: URLSearchParams, changes: Record<string, string | undefined>): void {
  const next: Record<string, string | string[] | undefined> = {}
  for (const key of [...KEYS, 'momentum']) next[key] = query.getAll(key)
  go(href('learn', { ...next, ...changes }))
}

async function train(spec: JobSpec, { rate, momentum, nesterov }: Method): Promise<void> {
  const heavy = momentum ? { momentum, nesterov } : {}
  const hyperparameters = { ...spec.hyperparameters, ...heavy, learning_rate: rate, max_epochs: 1000, tol: 0 }
  const job = await post<Job>('v1/jobs', { ...spec, hyperparameters }, { 'idempotency-key': newKey() })
  go(href(`jobs/${job.id}`))
}

const MOST_RECORDED = 1000

/** What the job wrote down, as values of the objective that the closed form tells. */
function useRecorded(job: Job | undefined, told: Gradients): Recorded | undefined {
  const { value } = useResource(
    job ? (signal) => get<History>(`v1/jobs/${job.id}/history?max_points=${MOST_RECORDED}`, signal) : null, [job?.id])
  return useMemo(() => {
    if (!value || !job) return undefined
    const penalized = job.resolved_hyperparameters.l2 > 0
    const loss = penalized ? value.gap.map((gap) => (gap ?? NaN) + told.minimum!.objective) : value.train_loss.map((one) => one ?? NaN)
    return { epoch: value.epoch, loss }
  }, [value, job, told])
}

interface AgreementProps { recorded: Recorded; of: math.Quadratic; method: Method; own: number }

function Agreement({ recorded, of, method, own }: AgreementProps) {
  const part = useMemo(() => lesson.disagreement(recorded.loss, math.course(of, { ...method, rate: own }, recorded.epoch)), [recorded, own])
  const where = method.rate === own ? '' : ` At the job’s own rate, ${rateText(own)},`
  return (
    <p class="small" data-disagreement={part}>
      Rings: what the job recorded.{where} {where ? 'the' : 'The'} curve differs from it by {part < 1e-15 ? 'nothing' : `${number(part, 2)} of its value`} at most, over {integer(recorded.epoch.length)} epochs.
    </p>
  )
}

function Range({ value, fixed, onChange }: { value: number; fixed: boolean; onChange: (steps: number) => void }) {
  if (fixed) return <span class="small">exact, from the closed form</span>
  return (
    <label class="row small">
      exact, the first
      <select value={value} onChange={(event) => onChange(Number(event.currentTarget.value))}>
        {lesson.HORIZONS.map((one) => <option value={one}>{integer(one)}</option>)}
      </select>
      steps
    </label>
  )
}

function aside(surface: lesson.Surface, names: string[]): string {
  switch (surface.kind) {
    case 'bowl':
      return `${names[1]} upward, ${names[0]} to the right, equal units${surface.rest}`
    case 'parabola':
      return `the loss upward, ${names[0]} to the right`
    case 'plane':
      return `2 of ${surface.directions} directions, which hold ${percent(surface.share)} of the excess`
    case 'none':
      return ''
  }
}
