// What the service says, as far as pages read it. The whole is /openapi.json.
import type { Mode } from './math'

export type State =
  | 'queued' | 'running' | 'paused' | 'succeeded' | 'failed' | 'cancelled' | 'expired' | 'quarantined'

export interface Column {
  name: string
  dtype: 'float64' | 'int64' | 'bool' | 'string'
  missing: number
  min: number | null
  max: number | null
  mean: number | null
  std: number | null
  distinct: number | null
  sample: (string | number | boolean)[]
  /** The file does not name it. */
  unnamed?: boolean
}

export interface Dataset {
  id: string
  name: string | null
  format: string
  n_rows: number
  n_columns: number
  size_bytes: number
  sha256: string
  columns: Column[]
  default_target: string[] | null
  default_weight: string | null
  suggested_target: string | null
  unreadable: { name: string; type: string }[]
  warnings: string[]
  parent_id: string | null
  parent_rows: number | null
  created_at: string
}

export interface Preview {
  columns: string[]
  rows: (string | number | boolean | null)[][]
}

export interface Page<T> {
  data: T[]
  has_more: boolean
  last_id: string | null
}

export interface Weights {
  coef: number[][]
  intercept?: number[] | null
  features?: string[] | null
}

export interface Hyperparameters {
  optimizer: string
  learning_rate: number | 'auto' | null
  momentum: number | null
  nesterov: boolean | null
  schedule: { type: string } | null
  max_epochs: number
  batch_size: number | null
  loss: string
  l1: number
  l2: number
  fit_intercept: boolean
  standardize: boolean
  init: 'zeros' | 'torch' | string | Weights
  validation_fraction: number
  validation_dataset: string | null
  seed: number | null
  dtype: 'float64' | 'float32'
  [name: string]: unknown
}

export interface JobSpec {
  dataset: string | { X: number[][]; y: number[] }
  target?: string | string[] | null
  features?: string[] | null
  weight?: string | null
  missing?: string
  categorical?: string
  hyperparameters?: Partial<Hyperparameters>
  device?: string
  priority?: number
  timeout_seconds?: number | null
  name?: string | null
  metadata?: Record<string, string>
}

export interface Metrics {
  n_samples: number
  n_eval_samples: number
  epochs: number
  initial_loss: number | null
  train_loss: number | null
  eval_loss: number | null
  objective: number | null
  best_loss: number | null
  best_epoch: number | null
  min_loss: number | null
  min_objective: number | null
  gap: number | null
  relative_gap: number | null
  rank: number | null
  condition_number: number | null
  r2: number | null
  converged: boolean | null
  train_seconds: number | null
}

export interface JobError {
  code: string
  message: string
  param: string | null
  detail: Record<string, unknown>
}

export interface Job {
  id: string
  kind: string
  name: string | null
  state: State
  intent: string | null
  stop_reason: string | null
  created_at: string
  started_at: string | null
  finished_at: string | null
  estimated_finish: string | null
  progress: { epoch: number; max_epochs: number; fraction: number }
  queue_position: number | null
  spec: JobSpec
  resolved_hyperparameters: Hyperparameters
  engine: string | null
  device: string | null
  attempt: number
  seed: number
  warnings: string[]
  error: JobError | null
  transitions: { state: State; at: string; reason: string }[]
  metrics: Metrics | null
  model_id: string | null
  dataset_id: string
  dataset_sha256: string
  metadata: Record<string, string>
}

export interface History {
  total: number
  epoch: number[]
  train_loss: (number | null)[]
  eval_loss: (number | null)[]
  gap: (number | null)[]
}

export interface Input {
  kind: 'numeric' | 'categorical'
  name: string
  boolean?: boolean
  levels?: string[]
  fill: number | string | null
}

export interface Model {
  id: string
  features: string[]
  targets: string[]
  coef: number[][]
  intercept: number[]
  encoding: { inputs: Input[] } | null
  metrics: Record<string, number | boolean | null>
  provenance: { job_id: string; dataset_id: string; engine: string; dtype: string } | null
  created_at: string | null
}

export interface Coefficient {
  name: string
  estimate: number
  std_error: number | null
  t: number | null
  p: number | null
  low: number | null
  high: number | null
  vif: number | null
}

export interface Summary {
  refused: string | null
  covariance: string
  /** Of these standard errors. */
  definition: string | null
  level: number
  n_samples: number
  df_residual: number | null
  condition_number: number | null
  targets: {
    target: string
    coefficients: Coefficient[]
    residual_sd: number | null
    r2: number | null
    adjusted_r2: number | null
  }[]
}

export interface DiagnosedRow {
  row: number
  actual: number
  predicted: number
  residual: number
  std_residual: number | null
  split: 'train' | 'eval'
}

export interface ResidualTest {
  name: 'curvature' | 'breusch_pagan' | 'tails'
  p: number | null
  refused: string | null
}

export interface Diagnostics {
  n_samples: number
  n_eval_samples: number
  sampled: boolean
  targets: {
    target: string
    outliers: number
    high_leverage: number
    rows: DiagnosedRow[]
    quantiles: { rank: number[]; normal: number[]; std_residual: number[] } | null
    tests: ResidualTest[]
  }[]
  warnings: string[]
}

export interface Plan {
  engine: string
  device: string
  n_samples: number
  n_eval_samples: number
  n_columns: number
  rank: number | null
  condition_number: number | null
  hessian_condition: number | null
  modes: Mode[]
  initial_loss: number | null
  min_loss: number | null
  minimum_refused: string | null
  learning_rate: number | null
  stability_bound: number | null
  best_rate: number | null
  diverges: boolean
  epochs_to_gap: { gap: number; epochs: number | null }[]
  epochs_refused: string | null
  guilty_columns: string[]
  memory_bytes: number
  seconds: number | null
  warnings: string[]
}

export interface Difference {
  absolute: number
  relative: number
}

export interface Gradients {
  coordinates: 'original' | 'standardized'
  parameters: string[]
  targets: string[]
  center: number[]
  scale: number[]
  n_samples: number
  samples: { x: number[]; actual: number[]; predicted: number[] }[]
  dtype: 'float64' | 'float32'
  weights: number[][]
  loss: number
  objective: number
  autograd: number[][]
  by_hand: number[][]
  finite_differences: number[][]
  by_hand_difference: Difference
  finite_differences_difference: Difference
  eigenvalues: number[]
  minimum: { loss: number; objective: number; coef: number[][]; intercept: number[] } | null
  modes: Mode[]
  unreachable: number
  refused: string | null
}

export interface Predictions {
  targets: string[]
  y: number[][]
  interval?: { level: number; low: number[][]; high: number[][] } | null
}
