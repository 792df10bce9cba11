// One row of a strip of intervals: estimate and both ends on an axis that all rows share.
import { scaled } from '../math'

interface IntervalProps {
  at: number
  low?: number | null
  high?: number | null
  limits: [number, number]
  /** Whether the interval holds 0: it is drawn in grey. */
  quiet?: boolean
}

export function Interval({ at, low, high, limits, quiet }: IntervalProps) {
  const place = scaled(limits, [2, 98])
  const x = (value: number) => `${place(value).toFixed(2)}%`
  return (
    <svg class={`interval ${quiet ? 'quiet' : ''}`} width="100%" height="20" aria-hidden="true">
      <line class="rule" x1={x(0)} x2={x(0)} y1="-12" y2="32" />
      {low != null && high != null && <line class="reach" x1={x(low)} x2={x(high)} y1="10" y2="10" />}
      <circle cx={x(at)} cy="10" r="4" />
    </svg>
  )
}
