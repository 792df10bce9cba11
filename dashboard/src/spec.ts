// What a new job is made of: the guess of a target, presets, the fields of all settings. Pure.
import type { Column, Dataset, JobSpec } from './wire'

export type Settings = Record<string, unknown>

/** Everything that the form holds. */
export interface Draft {
  dataset: string
  name: string
  target: string
  features: string[]
  missing: string
  weight?: string | null
  settings: Settings
}

export const PRESETS: Record<string, { name: string; settings: Settings }> = {
  descent: { name: 'gradient descent, rate “auto”', settings: {} },
  exact: { name: 'exact solution', settings: { optimizer: 'exact' } },
  batches: { name: 'mini-batches of 32', settings: { batch_size: 32 } },
  notebook: {
    name: 'the notebook',
    settings: {
      optimizer: 'sgd', learning_rate: 0.01, max_epochs: 1000, standardize: false, init: 'torch',
      dtype: 'float32', seed: 0, tol: 0,
    },
  },
}

// What a preset does not decide: it stays when another is chosen.
const APART = ['validation_fraction']

const withoutApart = (settings: Settings) =>
  Object.fromEntries(Object.entries(settings).filter(([name]) => !APART.includes(name)))

export function presetOf(settings: Settings): string {
  const now = JSON.stringify(Object.entries(withoutApart(settings)).sort())
  const found = Object.entries(PRESETS).find(([, one]) => JSON.stringify(Object.entries(one.settings).sort()) === now)
  return found?.[0] ?? 'own'
}

export function withPreset(settings: Settings, preset: string): Settings {
  const apart = Object.fromEntries(APART.filter((name) => name in settings).map((name) => [name, settings[name]]))
  return { ...PRESETS[preset]!.settings, ...apart }
}

/** One setting: its name, what null stands for, and where it has them its choices. */
export type Field = readonly [name: string, byDefault: string, options?: readonly string[]]

const YES_NO = ['true', 'false'] as const

export const FIELDS: readonly (readonly [group: string, fields: readonly Field[]])[] = [
  ['Steps', [
    ['optimizer', 'sgd', ['sgd', 'adam', 'adamw', 'lbfgs', 'exact']],
    ['max_epochs', '1000'], ['batch_size', 'all rows'], ['shuffle', 'true', YES_NO], ['momentum', '0'],
    ['nesterov', 'false', YES_NO], ['betas', '[0.9, 0.999]'], ['eps', '1e-8'], ['weight_decay', '0.01'], ['history_size', '10'],
  ]],
  ['Rate', [['learning_rate', 'auto'], ['schedule', 'constant', ['constant', 'step', 'cosine', 'inverse']]]],
  ['Stopping', [['tol', '1e-9'], ['patience', '10'], ['target_gap', 'none'], ['validation_fraction', '0']]],
  ['Objective', [
    ['loss', 'squared', ['squared', 'huber', 'absolute', 'quantile']], ['huber_delta', '1'], ['quantile', '0.5'],
    ['l1', '0'], ['l2', '0'], ['fit_intercept', 'true', YES_NO],
  ]],
  ['Numbers', [
    ['standardize', 'true', YES_NO], ['init', 'zeros', ['zeros', 'torch']], ['dtype', 'float64', ['float64', 'float32']], ['seed', 'drawn'],
  ]],
]

/** Read what was typed: a number, true, a list; anything else is sent as text, for the server to judge. */
export function valueOf(name: string, text: string): unknown {
  const trimmed = text.trim()
  if (trimmed === '') return undefined
  if (name === 'schedule') return trimmed === 'step' ? { type: 'step', every: 100 } : { type: trimmed }
  try {
    return JSON.parse(trimmed.replace(/^(-?\d+),(\d+)$/, '$1.$2'))
  } catch {
    return trimmed
  }
}

export function textOf(value: unknown): string {
  if (value === undefined || value === null) return ''
  if (typeof value === 'object' && 'type' in value) return String(value.type)
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** Of equal files, uploaded again and again, the newest; they come newest first. */
export function newest(datasets: Dataset[]): Dataset[] {
  const keys = datasets.map((one) => `${one.sha256} ${one.name}`)
  return datasets.filter((_, i) => keys.indexOf(keys[i]!) === i)
}

/** The target to begin with: as uploaded, or the likeliest, as the server has it. */
export const guessTarget = (dataset: Dataset): string => dataset.default_target?.[0] ?? dataset.suggested_target ?? ''

const FEW_LEVELS = 20, MOST_LEVELS = 1000

/** Why a column is left out unless asked for; null: it is used. A job that names no features does the same. */
export function leftOut(column: Column, rows: number): string | null {
  if (column.unnamed) return 'left out: the file does not name it'
  if (column.missing === rows) return 'left out: empty'
  if (column.dtype !== 'string') return null
  if (column.distinct === 1) return 'left out: one value'
  const most = Math.min(Math.max(FEW_LEVELS, rows / 4), MOST_LEVELS)
  return column.distinct === null || column.distinct > most ? 'left out: nearly all different' : null
}

/** What use a column of text has: so many columns of 0 and 1. */
export const useOf = (column: Column): string =>
  column.dtype === 'string' && column.distinct ? `one-hot: ${column.distinct - 1} ${column.distinct === 2 ? 'column' : 'columns'}` : ''

export function draftOf(dataset: Dataset): Draft {
  const target = guessTarget(dataset)
  const features = dataset.columns
    .filter((one) => one.name !== target && one.name !== dataset.default_weight && !leftOut(one, dataset.n_rows))
    .map((one) => one.name)
  const used = dataset.columns.filter((one) => one.name === target || features.includes(one.name))
  return {
    dataset: dataset.id, name: '', target, features, weight: dataset.default_weight,
    missing: used.some((one) => one.missing > 0) ? 'drop' : 'error', settings: {},
  }
}

/** Predict another column: the one before is a column like others then. */
export function aimed(draft: Draft, target: string): Draft {
  const features = [...draft.features.filter((one) => one !== target), ...(draft.target && draft.target !== target ? [draft.target] : [])]
  return { ...draft, target, features }
}

/** A job's spec as a draft, with changes that the address asks for. */
export function draftFrom(spec: JobSpec, dataset: Dataset, changes: Settings): Draft {
  const target = [spec.target ?? dataset.default_target ?? []].flat()[0] ?? ''
  const others = dataset.columns.map((one) => one.name).filter((name) => name !== target && name !== spec.weight)
  const before = 'optimizer' in changes && changes.optimizer !== spec.hyperparameters?.optimizer
    ? { validation_fraction: spec.hyperparameters?.validation_fraction } // another reads little of it
    : spec.hyperparameters
  return {
    dataset: dataset.id, name: spec.name ?? '', target, features: spec.features ?? others, weight: spec.weight,
    missing: spec.missing ?? 'error', settings: ownSettings({ ...before, ...changes }),
  }
}

/** Settings that are not at their default. */
export function ownSettings(settings: Settings): Settings {
  const byDefault = new Map(FIELDS.flatMap(([, fields]) => fields).map(([name, value]) => [name, value]))
  return Object.fromEntries(Object.entries(settings).filter(([name, value]) =>
    value !== null && value !== undefined && name !== 'deterministic' &&
    !(byDefault.has(name) && JSON.stringify(valueOf(name, byDefault.get(name)!)) === JSON.stringify(value))))
}

export function specOfDraft(draft: Draft): JobSpec {
  const { name, target, features, missing, weight, settings } = draft
  return {
    dataset: draft.dataset, target, features,
    ...(weight ? { weight } : {}),
    ...(missing === 'error' ? {} : { missing }),
    ...(name.trim() ? { name: name.trim() } : {}),
    hyperparameters: settings,
  }
}

/** The command that asks for the same. */
export function submitShell(spec: JobSpec, at: string): string {
  const { dataset, hyperparameters, ...rest } = spec
  const words = Object.entries({ ...rest, ...hyperparameters }).flatMap(([name, value]) => {
    const option = `--${name.replaceAll('_', '-')}`
    if (value === true) return [option]
    if (value === false) return [`--no-${option.slice(2)}`]
    return [value].flat().map((one) => `${option} ${shell(typeof one === 'object' ? JSON.stringify(one) : String(one))}`)
  })
  return [`descend train ${dataset}`, ...words, `--url ${at}`].join(' \\\n  ')
}

const shell = (text: string) => (/^[\w.@%+=:,/-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`)
