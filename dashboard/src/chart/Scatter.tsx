// Points of rows: predicted against actual, residuals, quantiles.
import { limits, ticks, trend } from '../math'
import type { Axis, Box } from './frame'
import { dots, Frame, line, rings } from './frame'

export interface Point {
  x: number
  y: number
  row?: number
  held?: boolean
}

interface ScatterProps {
  points: Point[]
  x: string
  label: string
  /** Equal limits on both axes, so that the dashed identity stands at 45 degrees. */
  square?: boolean
  /** The dashed line that points should lie on: y = x, or y = 0. */
  rule: 'identity' | 'zero'
  /** Whether a smooth curve is drawn through the points. */
  curve?: boolean
  /** How extreme a point is; the three most extreme are named by their row. */
  extreme?: (point: Point) => number
}

export function Scatter(props: ScatterProps) {
  const { points, x, label, rule } = props
  const all = bounds(props)
  const axes = (width: number, height: number) => ({
    x: axis(all.x, width / 70, x),
    y: axis(all.y, height / 45),
  })
  const opacity = points.length > 500 ? 0.35 : 0.7
  const at = ([from, to]: [number, number]) => (rule === 'identity' ? [from, to] : [0, 0])
  return (
    <Frame height={props.square ? 280 : 260} axes={axes} label={label} over={(box) => <Named {...props} box={box} />}>
      {(box) => (
        <>
          <path class="rule" d={line(box, all.x, at(all.x))} />
          <path class="dots" stroke-opacity={opacity} d={dots(box, points.filter((one) => !one.held))} />
          <path class="rings" d={rings(box, points.filter((one) => one.held))} />
          {props.curve && <path class="curve" d={curveOf(points, all.x, box)} />}
        </>
      )}
    </Frame>
  )
}

function bounds({ points, square, rule }: ScatterProps): { x: [number, number]; y: [number, number] } {
  const xs = points.map((one) => one.x)
  const ys = points.map((one) => one.y)
  if (square) {
    const both = limits([...xs, ...ys])
    return { x: both, y: both }
  }
  return { x: limits(xs), y: limits(rule === 'zero' ? [...ys, 0] : ys) }
}

const axis = (range: [number, number], about: number, label?: string): Axis =>
  ({ limits: range, ticks: ticks(...range, Math.max(2, about)), label })

function curveOf(points: Point[], [low, high]: [number, number], box: Box): string {
  const sorted = [...points].sort((a, b) => a.x - b.x)
  const from = sorted[0]!.x, to = sorted[sorted.length - 1]!.x
  const at = Array.from({ length: 60 }, (_, i) => from + ((to - from) * i) / 59)
  const xs = sorted.map((one) => one.x)
  return line(box, at, trend(xs, sorted.map((one) => one.y), (high - low) * 0.12, at))
}

function Named({ points, extreme, box }: ScatterProps & { box: Box }) {
  if (!extreme) return null
  const taken: [number, number][] = []
  const most = [...points].sort((a, b) => extreme(b) - extreme(a)).slice(0, 3)
  return (
    <>
      {most.map((one) => {
        const x = box.x(one.x), y = box.y(one.y)
        if (taken.some(([a, b]) => Math.abs(a - x) < 70 && Math.abs(b - y) < 16)) return null
        taken.push([x, y])
        const left = x > box.right - 64
        return (
          <>
            <circle class="named" cx={x} cy={y} r="4" />
            <text class={left ? 'halo end' : 'halo'} x={left ? x - 8 : x + 8} y={y + 4}>row {one.row}</text>
          </>
        )
      })}
    </>
  )
}
