// A loss history that grows: typed arrays, appended to in place.
import type { History, Metrics } from './wire'

export interface Points {
  start: number
  stop: number
  total: number
  epoch: number[]
  train_loss: (number | null)[] | null
  eval_loss: (number | null)[] | null
  learning_rate: (number | null)[] | null
  gap: (number | null)[] | null
}

const COLUMNS = ['epoch', 'train', 'eval', 'gap', 'rate'] as const
type Name = (typeof COLUMNS)[number]

export class Curve {
  length = 0
  /** Epochs that the server has stored. */
  total = 0
  /** Rows up to here are in it, or stand for those that are not. */
  stop = 0
  private columns: Record<Name, Float64Array> = {
    epoch: new Float64Array(256),
    train: new Float64Array(256),
    eval: new Float64Array(256),
    gap: new Float64Array(256),
    rate: new Float64Array(256),
  }

  static of(history: History & { learning_rate?: (number | null)[] }): Curve {
    const curve = new Curve()
    curve.append({ ...history, learning_rate: history.learning_rate ?? null, start: 0, stop: history.total })
    return curve
  }

  get epoch(): Float64Array {
    return this.view('epoch')
  }
  get train(): Float64Array {
    return this.view('train')
  }
  get eval(): Float64Array {
    return this.view('eval')
  }
  get gap(): Float64Array {
    return this.view('gap')
  }
  get rate(): Float64Array {
    return this.view('rate')
  }

  /** Whether there are fewer points than epochs. */
  get sampled(): boolean {
    return this.length < this.total
  }

  get hasEval(): boolean {
    return this.eval.some(Number.isFinite)
  }

  /** Add what comes after the last point; what is not after it was there already. */
  append(points: Points): void {
    const last = this.length ? this.columns.epoch[this.length - 1]! : -1
    let from = 0
    while (from < points.epoch.length && points.epoch[from]! <= last) from++
    const count = points.epoch.length - from
    this.reserve(count)
    for (let i = 0; i < count; i++) this.columns.epoch[this.length + i] = points.epoch[from + i]!
    this.fill('train', points.train_loss, from, count)
    this.fill('eval', points.eval_loss, from, count)
    this.fill('gap', points.gap, from, count)
    this.fill('rate', points.learning_rate, from, count)
    this.length += count
    this.total = Math.max(this.total, points.total)
    this.stop = Math.max(this.stop, points.stop)
  }

  /** The same epochs with fewer points, and after them the points of this one that are newer. */
  replacedBy(history: History & { learning_rate?: (number | null)[] }): Curve {
    const next = Curve.of(history)
    const last = next.length ? next.epoch[next.length - 1]! : -1
    const from = this.epoch.findIndex((epoch) => epoch > last)
    if (from < 0) return next
    const tail = (name: Name) => Array.from(this.view(name).subarray(from))
    next.append({
      start: last + 1, stop: this.stop, total: this.total, epoch: tail('epoch'),
      train_loss: tail('train'), eval_loss: tail('eval'), gap: tail('gap'), learning_rate: tail('rate'),
    })
    return next
  }

  private view(name: Name): Float64Array {
    return this.columns[name].subarray(0, this.length)
  }

  private fill(name: Name, values: (number | null)[] | null, from: number, count: number): void {
    const column = this.columns[name]
    for (let i = 0; i < count; i++) column[this.length + i] = values?.[from + i] ?? NaN
  }

  private reserve(count: number): void {
    if (this.length + count <= this.columns.epoch.length) return
    const size = 2 ** Math.ceil(Math.log2(this.length + count))
    for (const name of COLUMNS) {
      const larger = new Float64Array(size)
      larger.set(this.view(name))
      this.columns[name] = larger
    }
  }
}

export interface Lowest {
  value: number
  epoch: number
}

/** The lowest value and when it was; what lies below the edge of a chart counts as its edge. */
export function lowest(epoch: ArrayLike<number>, values: ArrayLike<number>, edge = -Infinity): Lowest | null {
  let found: Lowest | null = null
  for (let i = 0; i < values.length; i++) {
    const value = Math.max(values[i]!, edge)
    if (Number.isFinite(value) && (!found || value < found.value)) found = { value, epoch: epoch[i]! }
  }
  return found
}

/** The lowest training loss so far; that of the weights returned counts, which no epoch begins with. */
export function lowestTrain(
  { epoch, train }: { epoch: ArrayLike<number>; train: ArrayLike<number> },
  metrics: Pick<Metrics, 'train_loss' | 'epochs' | 'best_loss' | 'best_epoch'> | null,
): Lowest | null {
  const ends = metrics && [
    { value: metrics.train_loss, epoch: metrics.epochs },
    { value: metrics.best_loss, epoch: metrics.best_epoch },
  ]
  return (ends ?? []).reduce<Lowest | null>((least, { value, epoch: at }) => {
    return value === null || at === null || (least && least.value <= value) ? least : { value, epoch: at }
  }, lowest(epoch, train))
}

/** The last value that is a number. */
export function latest(epoch: ArrayLike<number>, values: ArrayLike<number>): Lowest | null {
  for (let i = values.length - 1; i >= 0; i--)
    if (Number.isFinite(values[i]!)) return { value: values[i]!, epoch: epoch[i]! }
  return null
}
