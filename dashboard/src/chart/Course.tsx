// The loss after each step, on a logarithmic axis: exact, with what a job recorded drawn on it.
import { powerOfTen, trimmed } from '../format'
import { small } from '../lesson'
import { course, logTicks, spread, ticks } from '../math'
import type { Method, Quadratic } from '../math'
import type { Box } from './frame'
import { Frame, line, rings } from './frame'

export interface Recorded {
  epoch: number[]
  loss: number[]
}

interface CourseProps {
  of: Quadratic
  method: Method
  steps: number
  step: number
  recorded?: Recorded
  label: string
}

const POINTS = 400
const MOST_RINGS = 40
const ROUNDING = 1e-14

export function Course({ of, method, steps, step, recorded, label }: CourseProps) {
  const ks = spread(steps, POINTS)
  const curve = course(of, method, ks)
  const here = course(of, method, [step])[0]!
  const kept = recorded && thinned(recorded, steps)
  const lowest = curve[0]! * ROUNDING // below it is rounding
  const inside = [...curve, ...(kept?.loss ?? [])].filter((one) => one > lowest && one < 1e300)
  const low = Math.max(lowest, Math.min(...inside, of.floor > lowest ? of.floor : Infinity)), high = Math.max(...inside)
  const y: [number, number] = [Math.log10(low), Math.log10(high)]
  const room = (y[1] - y[0] || 1) * 0.06
  const sides: [number, number] = [y[0] - room, y[1] + room]
  const axes = (width: number) => ({
    x: { limits: [0, steps] as [number, number], ticks: ticks(0, steps, width / 90), label: 'step' },
    y: { limits: sides, ticks: logTicks(10 ** sides[0], 10 ** sides[1]).map(Math.log10), text: told },
  })
  return (
    <Frame height={300} axes={axes} label={label} over={(box) => (
        <>
          <Floor box={box} of={of} sides={sides} steps={steps} />
          {step <= steps && here < 1e300 && (
            <circle class="here" cx={box.x(step)} cy={box.y(Math.log10(Math.max(here, lowest)))} r="5" />
          )}
        </>
      )}>
      {(box) => (
        <>
          {kept && <path class="rings" d={rings(box, kept.epoch.map((x, i) => ({ x, y: Math.log10(kept.loss[i]!) })), 3)} />}
          <path class="curve s1" d={line(box, ks, curve.map((one) => Math.log10(Math.max(one, lowest))))} />
        </>
      )}
    </Frame>
  )
}

const told = (power: number) => {
  const value = 10 ** power
  return value >= 1e6 || value < 1e-4 ? powersOf(power) : trimmed(Number(value.toPrecision(6)))
}

function powersOf(power: number): string {
  const whole = Math.floor(power + 1e-9), mantissa = Number((10 ** (power - whole)).toPrecision(3))
  return mantissa === 1 ? powerOfTen(whole) : `${mantissa}×${powerOfTen(whole)}`
}

function thinned({ epoch, loss }: Recorded, steps: number): Recorded {
  const inside = epoch.filter((one) => one <= steps).length
  const places = spread(inside - 1, MOST_RINGS)
  return { epoch: places.map((i) => epoch[i]!), loss: places.map((i) => loss[i]!) }
}

interface FloorProps { box: Box; of: Quadratic; sides: [number, number]; steps: number }

function Floor({ box, of, sides, steps }: FloorProps) {
  const at = Math.log10(of.floor)
  if (!(at > sides[0])) return <text class="halo good end" x={box.right - 4} y={box.bottom - 6}>lowest possible {small(of)}, below</text>
  const y = box.y(at)
  const below = box.bottom - y > 18
  return (
    <>
      <path class="floor" d={line(box, [0, steps], [at, at])} />
      <text class="halo good end" x={box.right - 4} y={below ? y + 15 : y - 6}>lowest possible {small(of)}</text>
    </>
  )
}
