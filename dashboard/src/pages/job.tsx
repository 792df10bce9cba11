// A job: how it stands, its curve, its rate, what came out, and how to go on.
import { useEffect, useState } from 'preact/hooks'
import { ApiError, answered, getOnce, hasKey, newKey, post, send, told } from '../api'
import { lookOf, StateBadge } from '../badges'
import { Button, Card, CopyLink, Dialog, Failure, Icon, toast } from '../controls'
import { patchOf, specOf, submitCurl, submitPython } from '../copies'
import { latest, lowest, lowestTrain } from '../curve'
import { clock, duration, integer, number, percent, plural, shortId } from '../format'
import { useKeys } from '../keys'
import { useJob } from '../live'
import type { Live } from '../live'
import { Loss } from '../loss'
import { foreseen } from '../plan'
import { Pairs, Rate } from '../rate'
import { Residuals } from '../residuals'
import { useResource } from '../resource'
import type { Resource } from '../resource'
import { go, href } from '../router'
import type { PageProps } from '../router'
import { method, say, shrinkage } from '../say'
import type { Facts, Remedy, Said } from '../say'
import { isTerminal } from '../stream'
import { setTitle } from '../title'
import { origin, Usage } from '../usage'
import { Weights } from '../weights'
import type { Dataset, Job, Model, Plan, Summary } from '../wire'

export default function JobPage({ route }: PageProps) {
  const live = useJob(route.id)
  const { job, error } = live
  useEffect(() => {
    if (!job) return setTitle('Job')
    const part = job.state === 'running' ? ` ${Math.floor(job.progress.fraction * 100)} %` : ''
    setTitle(`${lookOf(job).sign}${part} ${job.name ?? shortId(job.id)}`)
  }, [job])
  if (error) return <Absent error={error} again={live.reload} />
  if (!job) return <p class="unseen" role="status">Loading the job</p>
  return <Shown live={live} job={job} query={route.query} />
}

function Absent({ error, again }: { error: unknown; again: () => void }) {
  const gone = error instanceof ApiError && error.status === 404
  return (
    <>
      <p class="crumbs"><a href="#/">Jobs</a></p>
      <h1>{gone ? 'No such job' : 'This job cannot be shown'}</h1>
      {gone ? <p class="sentence">No such job, or it belongs to another key.</p> : <Failure error={error} again={again} />}
    </>
  )
}

function Shown({ live, job, query }: { live: Live; job: Job; query: URLSearchParams }) {
  const dataset = useResource(() => getOnce<Dataset>(`v1/datasets/${job.dataset_id}`), [job.dataset_id]).value
  const plan = usePlan(job)
  const facts = factsOf(live, job, dataset, plan.value)
  const solved = job.stop_reason === 'solved' && live.curve.length < 2
  const said = say(job, facts)
  useKeys({ 'Shift+C': () => void copyCurl(job) })
  return (
    <>
      <Head job={job} dataset={dataset} />
      {said.tone === 'plain' ? <Sentence said={said} /> : <Note said={said} job={job} />}
      {job.warnings.filter((text) => !SAID.test(text)).map((text) => <p class="note" key={text}><Icon name="warning" /><span>{text}.</span></p>)}
      <Progress job={job} />
      <Tiles job={job} facts={facts} live={live} />
      <div class="job-grid">
        {solved ? <Solution job={job} /> : <Loss live={live} job={job} floor={facts.floor} query={query} />}
        <Rate job={job} rate={rateOf(job, live)} limit={limitOf(job, plan.value ?? foreseen.get(job.id))} plan={plan} />
      </div>
      <Outcome job={job} dataset={dataset} />
      <Record job={job} />
    </>
  )
}

// What the sentence says already.
const SAID = /^(stopped at max_epochs|the objective settled)/

/** What there is to see of a minimum that was computed: a curve has one point. */
function Solution({ job: { metrics } }: { job: Job }) {
  const facts: [string, string][] = [
    ['Loss', number(metrics?.train_loss, 6)],
    ['Objective, loss and penalty', metrics?.objective === metrics?.train_loss ? '' : number(metrics?.objective, 6)],
    ['Variance explained', percent(metrics?.r2)],
    ['Independent columns', integer(metrics?.rank)],
    ['Condition number', number(metrics?.condition_number, 3)],
  ]
  return (
    <Card title="Solution">
      <Pairs of={facts.filter(([, text]) => text && text !== '–')} />
      <p class="small">Computed at once, without steps: there is no curve.</p>
    </Card>
  )
}

// ---- what is known beside the row ----

/** Full-batch descent with these settings: its bound and its floor are what a run is held against. */
function usePlan(job: Job): Resource<Plan> {
  const of = job.resolved_hyperparameters
  const wanted = of.optimizer === 'sgd' && (of.loss === 'squared' || of.loss === 'huber') &&
    job.error?.code !== 'diverged' && (isTerminal(job.state) || job.state === 'running')
  const spec = specOf(job, { batch_size: null, shuffle: null })
  return useResource(
    wanted ? (signal) => answered<Plan>('v1/plans', { ...spec, name: undefined, metadata: undefined }, signal) : null,
    [job.id, wanted],
  )
}

function factsOf({ curve }: Live, job: Job, dataset?: Dataset, plan?: Plan): Facts {
  const floor = floorOf(job, curve.train, curve.gap, plan)
  const train = latest(curve.epoch, curve.train)
  const now = latest(curve.epoch, curve.eval)
  const best = lowest(curve.epoch, curve.eval)
  const distance = floor === null ? null : curve.gap.some(Number.isFinite) ? curve.gap : curve.train.map((one) => one - floor)
  return {
    train: job.metrics?.train_loss != null ? { value: job.metrics.train_loss, epoch: job.metrics.epochs } : train,
    evaluation: now && best ? { now, best } : null,
    floor,
    first: curve.train[0] ?? plan?.initial_loss ?? null,
    condition: plan?.condition_number ?? null,
    shrinks: distance && shrinkage(curve.epoch, distance),
    epochsPerSecond: pace(job),
    columns: dataset?.columns ?? [],
    now: Date.now(),
  }
}

/** The lowest possible training loss; of l1 and of losses with a kink there is none to draw. */
function floorOf(job: Job, train: Float64Array, gap: Float64Array, plan?: Plan): number | null {
  const { loss, l1, l2 } = job.resolved_hyperparameters
  if (loss !== 'squared' || l1 > 0) return null
  if (job.metrics?.min_loss != null) return job.metrics.min_loss
  const last = train.length - 1
  if (l2 === 0 && last >= 0 && Number.isFinite(gap[last]!)) return train[last]! - gap[last]!
  return plan?.min_loss ?? null
}

function pace(job: Job): number | null {
  const { epoch } = job.progress
  if (job.metrics?.train_seconds) return job.metrics.epochs / job.metrics.train_seconds
  if (!job.started_at || !epoch) return null
  return epoch / Math.max(0.1, (Date.now() - new Date(job.started_at).getTime()) / 1000)
}

function rateOf(job: Job, { curve }: Live): number | null {
  const resolved = job.resolved_hyperparameters.learning_rate
  return typeof resolved === 'number' ? resolved : latest(curve.epoch, curve.rate)?.value ?? null
}

function limitOf(job: Job, plan?: Plan): number | null {
  const bound = job.error?.detail.bound
  return typeof bound === 'number' ? bound : plan?.stability_bound ?? null
}

// ---- head ----

function Head({ job, dataset }: { job: Job; dataset?: Dataset }) {
  return (
    <>
      <p class="crumbs"><a href="#/">Jobs</a> / <span class="mono" title={job.id}>{shortId(job.id)}</span></p>
      <div class="page-head">
        <div>
          <div class="title"><h1>{job.name ?? shortId(job.id)}</h1><StateBadge job={job} /></div>
          <p class="facts">{factsLine(job, dataset)}</p>
        </div>
        <Actions job={job} />
      </div>
    </>
  )
}

function factsLine(job: Job, dataset?: Dataset) {
  const targets = [job.spec.target ?? dataset?.default_target ?? []].flat()
  const columns = job.spec.features?.length ??
    (dataset ? dataset.n_columns - targets.length - (job.spec.weight ? 1 : 0) : null)
  const { metrics } = job
  return (
    <>
      <span><b>{targets.join(', ')}</b> from {columns === null ? '…' : plural(columns, 'column')} of{' '}
        <a href={href(`data/${job.dataset_id}`)}>{dataset?.name ?? 'inline data'}</a></span>
      {metrics ? (
        <span><b>{integer(metrics.n_samples)}</b> training{metrics.n_eval_samples > 0 && <>, <b>{integer(metrics.n_eval_samples)}</b> evaluation</>} rows</span>
      ) : dataset && <span><b>{integer(dataset.n_rows)}</b> rows</span>}
      <span><b>{method(job.resolved_hyperparameters)}</b>{job.device && ` on ${job.device}`}</span>
      <span>{job.started_at ? <>started <b>{clock(job.started_at)}</b></> : <>submitted <b>{clock(job.created_at)}</b></>}</span>
    </>
  )
}

function Actions({ job }: { job: Job }) {
  const [asked, setAsked] = useState(false)
  const ended = isTerminal(job.state)
  const cancel = () => post(`v1/jobs/${job.id}/cancel`).then(() => toast('The job was asked to stop.'))
  const remove = async () => {
    await send('DELETE', `v1/jobs/${job.id}`)
    toast('The job was deleted; its model stays.')
    go('#/')
  }
  return (
    <div class="row actions">
      {!ended && (
        <Button tone="danger" disabled={job.intent === 'cancel'} onClick={cancel}>
          {job.intent === 'cancel' ? 'Cancelling' : 'Cancel'}
        </Button>
      )}
      <a class="button" href={href('new', { from: job.id })}>Re-run with changes</a>
      {ended && <a class="button" href={href('compare', { job: job.id })}>Compare</a>}
      {job.model_id && <a class="button" href={href(`models/${job.model_id}`)}>Try the model</a>}
      <a class="button" href={href('learn', { job: job.id })}>Open as lesson</a>
      {ended && <Button tone="danger" onClick={() => setAsked(true)}>Delete</Button>}
      {asked && (
        <Dialog title={`Delete ${job.name ?? 'this job'}?`} onClose={() => setAsked(false)}>
          <p>Its curve and its log are deleted; a model that it trained stays. This cannot be undone.</p>
          <div class="row end">
            <Button onClick={() => setAsked(false)}>Keep</Button>
            <Button tone="primary" onClick={remove}>Delete the job</Button>
          </div>
        </Dialog>
      )}
    </div>
  )
}

// ---- the sentence ----

function Sentence({ said }: { said: Said }) {
  return <p class="sentence"><b>{said.lead}</b> {said.rest}</p>
}

function Note({ said, job }: { said: Said; job: Job }) {
  const learnable = job.resolved_hyperparameters.optimizer === 'sgd' && job.resolved_hyperparameters.loss === 'squared'
  return (
    <section class={`note ${said.tone}`} aria-label="What happened">
      <Icon name="warning" />
      <div>
        <h2>{said.lead}</h2>
        <p><Named text={said.rest} names={said.names ?? []} /></p>
        <div class="row">
          {said.remedies.map((remedy) => (
            <Button key={remedy.label} tone={remedy.primary ? 'primary' : 'plain'} onClick={() => retry(job, remedy)}>{remedy.label}</Button>
          ))}
          {said.tone === 'bad' && learnable && <a href={href('learn', { job: job.id })}>See why in the lesson</a>}
        </div>
      </div>
    </section>
  )
}

/** Set the names of columns in bold where they stand as words. */
function Named({ text, names }: { text: string; names: string[] }) {
  if (names.length === 0) return <>{text}</>
  const any = names.map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|')
  const parts = text.split(new RegExp(`(?<![\\w=])(${any})(?![\\w=])`))
  return <>{parts.map((part, i) => (i % 2 ? <b>{part}</b> : part))}</>
}

async function retry(job: Job, { changes }: Remedy): Promise<void> {
  const next = await post<Job>(`v1/jobs/${job.id}/retry`, patchOf(job, changes), { 'idempotency-key': newKey() })
  go(`#/jobs/${next.id}`)
}

function Progress({ job }: { job: Job }) {
  const percent = Math.floor(job.progress.fraction * 100)
  const quarter = Math.floor(percent / 25) * 25
  return (
    <>
      {job.state === 'running' && (
        <div class="progress" role="progressbar" aria-label="Epochs done" aria-valuenow={percent} aria-valuemin={0} aria-valuemax={100}>
          <div style={{ width: `${job.progress.fraction * 100}%` }} />
        </div>
      )}
      <p class="unseen" role="status">{job.state === 'running' ? `${quarter} percent done` : lookOf(job).word}</p>
    </>
  )
}

// ---- tiles ----

function Tiles({ job, facts, live }: { job: Job; facts: Facts; live: Live }) {
  const { metrics, resolved_hyperparameters: of } = job
  const train = facts.train?.value ?? null
  const evaluation = metrics?.eval_loss ?? facts.evaluation?.now.value ?? null
  const best = lowestTrain(live.curve, metrics)
  const held = evaluation !== null || facts.evaluation !== null
  const squared = of.loss === 'squared'
  const failed = job.state === 'failed'
  const error = failed || !squared ? null : held ? evaluation : train
  const target = [job.spec.target ?? []].flat()
  return (
    <dl class="tiles">
      <Tile name={failed ? 'Train loss after the last step' : 'Train loss'} value={number(train)} exact={train} under={squared ? 'mean squared error' : `${of.loss} loss`} />
      {held
        ? <Tile name="Evaluation loss" value={number(evaluation)} exact={evaluation} under={facts.evaluation ? `best ${number(facts.evaluation.best.value)} at epoch ${integer(facts.evaluation.best.epoch)}` : 'on rows not trained on'} />
        : <Tile name="Lowest so far" value={number(best?.value)} exact={best?.value} under={best ? `train loss at epoch ${integer(best.epoch)}` : 'no epoch yet'} />}
      <Tile name="Typical error" value={error === null || target.length > 1 ? '–' : `± ${number(Math.sqrt(error), 3)}`}
        under={squared ? `${target.length === 1 ? target[0] : 'target'}, on rows ${held ? 'not ' : ''}trained on` : 'told for squared loss'} />
      <Tile name="R² (train)" value={failed ? '–' : number(metrics?.r2)} exact={metrics?.r2} under={bestR2(job, facts.floor)} />
      <Tile name="Epoch" value={integer(metrics?.epochs ?? job.progress.epoch)} under={`of ${integer(job.progress.max_epochs)}${speed(facts, job)}`} />
    </dl>
  )
}

function Tile({ name, value, under, exact }: { name: string; value: string; under: string; exact?: number | null }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd class="value" title={exact == null ? undefined : String(exact)}>{value}</dd>
      <dd class="under" title={under}>{under}</dd>
    </div>
  )
}

function bestR2({ metrics, state }: Job, floor: number | null): string {
  if (metrics?.r2 == null || metrics.train_loss === null) return isTerminal(state) ? 'not known' : 'told when the job has ended'
  if (floor === null || metrics.r2 === 1) return 'part of the variance explained'
  const variance = metrics.train_loss / (1 - metrics.r2)
  return `best possible ${number(1 - floor / variance)}`
}

const FEW_EPOCHS = 20 // say nothing of a pace

function speed({ epochsPerSecond }: Facts, { metrics, state, progress }: Job): string {
  if (state === 'succeeded' && metrics?.train_seconds) return `, in ${duration(metrics.train_seconds)}`
  return epochsPerSecond && progress.epoch > FEW_EPOCHS ? `, ${number(epochsPerSecond, 3)} per s` : ''
}

// ---- what came out ----

function Outcome({ job, dataset }: { job: Job; dataset?: Dataset }) {
  const id = job.model_id
  const model = useResource(id ? () => getOnce<Model>(`v1/models/${id}`) : null, [id])
  const summary = useResource(id ? () => getOnce<Summary>(`v1/models/${id}/summary`) : null, [id])
  if (!isTerminal(job.state)) return null
  if (!id) return job.state === 'succeeded' ? <Gone /> : <NoWeights job={job} />
  if (model.error) return model.error instanceof ApiError && model.error.status === 404 ? <Gone /> : <Failure error={model.error} again={model.reload} />
  if (!model.value) return null
  return (
    <div class="sections">
      <Weights model={model.value} summary={summary.value} dataset={dataset} />
      <Residuals modelId={id} />
      <Usage model={model.value} dataset={dataset} jobId={job.id} />
    </div>
  )
}

function NoWeights({ job }: { job: Job }) {
  const why = job.state === 'failed' ? 'the job failed before it had an answer' : `the job was ${job.state}`
  return (
    <div class="sections"><Card title="Weights"><p class="refusal">There are no weights: {why}. Its curve is kept.</p></Card></div>
  )
}

const Gone = () => (
  <div class="sections"><Card title="Weights"><p class="refusal">The model of this job was deleted.</p></Card></div>
)

// ---- the record ----

function Record({ job }: { job: Job }) {
  const json = () => JSON.stringify(job, null, 2)
  return (
    <div class="record">
      <details>
        <summary>Log</summary>
        <ol class="log">
          {job.transitions.map(({ state, at, reason }) => (
            <li key={at + state}><time dateTime={at}>{clock(at)}</time> <b>{state}</b> <span class="muted">{reason}</span></li>
          ))}
        </ol>
      </details>
      <details>
        <summary>The job as JSON</summary>
        <pre tabIndex={0}>{json()}</pre>
      </details>
      <p class="small">
        Copy this job as <CopyLink text={() => curlOf(job)}>curl</CopyLink> · <CopyLink text={() => submitPython(specOf(job), origin())}>Python</CopyLink> ·{' '}
        <CopyLink text={json}>JSON</CopyLink>
      </p>
    </div>
  )
}

const curlOf = (job: Job): string => submitCurl(specOf(job), origin(), hasKey())

async function copyCurl(job: Job): Promise<void> {
  await navigator.clipboard.writeText(curlOf(job)).then(
    () => toast('curl copied.'),
    (error: unknown) => toast(told(error), 'bad'),
  )
}

