// A job as code: what would submit it again, in three languages. Pure.
import { ownSettings } from './spec'
import { python, quoted } from './usage'
import type { Hyperparameters, Job, JobSpec } from './wire'

/** The spec that submits a job again, with other settings; what is at its default is left out. */
export function specOf(job: Job, changes: Partial<Hyperparameters> = {}): JobSpec {
  const { spec } = job
  const other = changes.optimizer !== undefined && changes.optimizer !== job.resolved_hyperparameters.optimizer
  // Another optimizer refuses what it does not read: it starts from its own defaults.
  const kept = other ? {} : { ...spec.hyperparameters, seed: job.seed }
  return { ...given(spec), hyperparameters: ownSettings({ ...kept, ...changes }) }
}

/** What a retry changes, as a merge patch: null puts a setting back to its default. */
export function patchOf(job: Job, changes: Partial<Hyperparameters>): Record<string, unknown> {
  const other = changes.optimizer !== undefined && changes.optimizer !== job.resolved_hyperparameters.optimizer
  const before = other ? Object.keys(job.spec.hyperparameters ?? {}).map((name) => [name, null]) : []
  return { hyperparameters: { ...Object.fromEntries(before), ...changes } }
}

const DEFAULTS: Record<string, unknown> = { missing: 'error', categorical: 'one_hot', device: 'auto', priority: 5 }

function given<T extends object>(settings: T): T {
  return Object.fromEntries(
    Object.entries(settings).filter(([name, value]) => !isDefault(name, value)),
  ) as T
}

function isDefault(name: string, value: unknown): boolean {
  if (value === null || value === undefined || value === DEFAULTS[name]) return true
  return name === 'metadata' && Object.keys(value as object).length === 0
}

export function submitCurl(spec: JobSpec, at: string, keyed: boolean): string {
  const header = keyed ? ` \\\n  -H "Authorization: Bearer $DESCEND_API_KEY"` : ''
  return `curl ${at}/v1/jobs${header} \\\n  -H 'content-type: application/json' \\\n  -d '${quoted(JSON.stringify(spec))}'`
}

export function submitPython(spec: JobSpec, at: string): string {
  const { hyperparameters = {}, ...rest } = spec
  const words = Object.entries(rest).map(([name, value]) => `${name}=${python(value)}`)
  const settings = Object.entries(hyperparameters).map(([name, value]) => `${name}=${python(value)}`)
  return [
    'from descend import Client, Hyperparameters, JobSpec',
    '',
    `with Client("${at}") as client:`,
    '    spec = JobSpec(',
    ...words.map((word) => `        ${word},`),
    `        hyperparameters=Hyperparameters(${settings.join(', ')}),`,
    '    )',
    '    run = client.submit(spec).wait()',
    '    print(run.job.metrics)',
  ].join('\n')
}
