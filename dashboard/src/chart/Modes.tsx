// Each direction by itself: what one step leaves of its error, as bars with a mark at 1.
import { number } from '../format'
import { namesOf } from '../lesson'
import type { Lesson } from '../lesson'
import { decay } from '../math'
import type { Method } from '../math'

const MOST = 12

export function Modes({ lesson, method }: { lesson: Lesson; method: Method }) {
  const { of, told } = lesson
  const all = of.modes.map((mode) => ({ mode, left: decay(mode.eigenvalue, method) }))
  const shown = all.length > MOST ? [...all.slice(0, MOST / 2), ...all.slice(-MOST / 2)] : all
  const most = Math.max(1.2, ...all.map((one) => Math.min(one.left, 2)))
  return (
    <table class="modes">
      <thead>
        <tr>
          <th>direction, mostly</th>
          <th class="number wide">eigenvalue</th>
          <th class="strip">left after one step</th>
          <th class="number">factor</th>
        </tr>
      </thead>
      <tbody>
        {shown.map(({ mode, left }, i) => (
          <tr>
            <th scope="row">
              {namesOf(mode, told.parameters) || 'many columns'}
              {all.length > MOST && i === MOST / 2 && <span class="small"> (after {all.length - MOST} more)</span>}
            </th>
            <td class="number muted wide">{number(mode.eigenvalue, 3)}</td>
            <td class="strip"><Bar left={left} most={most} /></td>
            <td class={`number ${left > 1 ? 'bad' : ''}`}>{number(left, 3)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

function Bar({ left, most }: { left: number; most: number }) {
  const x = (value: number) => `${((Math.min(value, most) / most) * 100).toFixed(2)}%`
  return (
    <svg class={`bar-strip ${left > 1 ? 'bad' : ''}`} width="100%" height="20" aria-hidden="true">
      <rect x="0" y="5" width={x(left)} height="10" rx="2" />
      <line class="rule" x1={x(1)} x2={x(1)} y1="-12" y2="32" />
    </svg>
  )
}
