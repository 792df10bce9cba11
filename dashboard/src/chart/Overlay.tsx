// Curves of several jobs on one pair of axes: a colour and a dash each, named at their ends.
import { useState } from 'preact/hooks'
import { number, powerOfTen, trimmed } from '../format'
import { limits, logTicks, ticks } from '../math'
import type { Box } from './frame'
import { Frame, line } from './frame'

export interface Curve {
  name: string
  x: number[]
  y: number[]
}

interface OverlayProps {
  curves: Curve[]
  log: boolean
  floor: number | null
  xName: string
  range: [number, number]
  /** The curve that is pointed at; null: none is more than the others. */
  pointed: number | null
  onPoint: (at: number | null) => void
  label: string
}

const DASHES = ['', '7 4', '2 3', '9 3 2 3', '12 4', '4 2']
export const SLOTS = DASHES.length

/** How a curve is drawn: beyond six, all in grey until one is pointed at. */
export const lookOf = (place: number, of: number, pointed: number | null) => ({
  class: `overlay ${of > SLOTS ? (pointed === place ? 'slot1' : 'slot0') : `slot${place + 1}`} ${pointed === null ? '' : pointed === place ? 'strong' : 'weak'}`,
  'stroke-dasharray': of > SLOTS ? '' : DASHES[place]!,
})

export function Overlay(props: OverlayProps) {
  const { curves, log, floor, range, pointed, onPoint, label } = props
  const [at, setAt] = useState<number | null>(null)
  const lift = (value: number) => (log ? Math.log10(value > 0 ? value : NaN) : value)
  const inside = curves.map(({ x, y }) => y.filter((_, i) => x[i]! >= range[0] && x[i]! <= range[1]).map(lift))
  const ys = limits([...inside.flat(), ...(floor === null || (log && !(floor > 0)) ? [] : [lift(floor)])], 0.06)
  const axes = (width: number, height: number) => ({
    x: { limits: range, ticks: ticks(...range, width / 90), label: props.xName },
    y: {
      limits: ys, text: log ? unlog : trimmed,
      ticks: log ? logTicks(10 ** Math.max(ys[0], -300), 10 ** Math.min(ys[1], 300)).map(Math.log10) : ticks(...ys, height / 50),
    },
  })
  const moved = (event: PointerEvent) => {
    const svg = (event.currentTarget as HTMLElement).querySelector('rect')?.getBoundingClientRect()
    if (svg) setAt(range[0] + (Math.min(Math.max(event.clientX - svg.left, 0), svg.width) / svg.width) * (range[1] - range[0]))
  }
  const pressed = (event: KeyboardEvent) => {
    const by = { ArrowLeft: -0.01, ArrowRight: 0.01, Home: -1, End: 1 }[event.key]
    if (by === undefined) return
    event.preventDefault()
    setAt(Math.min(range[1], Math.max(range[0], (at ?? range[0]) + by * (range[1] - range[0]))))
  }
  return (
    <div tabIndex={0} role="group" aria-roledescription="chart" aria-label={`${label}. Arrow keys read the values.`}
      onPointerMove={moved} onPointerLeave={() => setAt(null)} onKeyDown={pressed} onBlur={() => setAt(null)}>
      <Frame height={340} axes={axes} label={label} over={(box) => <Names box={box} {...props} lift={lift} />}>
        {(box) => (
          <>
            <rect class="catch" x={box.left} y={box.top} width={box.right - box.left} height={box.bottom - box.top} />
            {floor !== null && <path class="floor" d={line(box, range, [lift(floor), lift(floor)])} />}
            {curves.map(({ x, y }, i) => (
              <path {...lookOf(i, curves.length, pointed)} d={line(box, x, y.map(lift))} onPointerEnter={() => onPoint(i)} onPointerLeave={() => onPoint(null)} />
            ))}
            {at !== null && <path class="cursor" d={`M${box.x(at).toFixed(1)} ${box.top}V${box.bottom}`} />}
          </>
        )}
      </Frame>
      <p class="small readout" aria-live="polite">{at === null ? ' ' : readout(curves, at, props.xName)}</p>
    </div>
  )
}

const unlog = (power: number) => {
  const value = Number((10 ** power).toPrecision(6))
  if (value < 1e6 && value >= 1e-4) return trimmed(value)
  return Math.abs(power - Math.round(power)) < 1e-9 ? powerOfTen(Math.round(power)) : number(value, 1)
}

function readout(curves: Curve[], at: number, xName: string): string {
  const values = curves.map(({ name, x, y }) => `${name} ${at > x[x.length - 1]! ? 'ended' : number(y[nearest(x, at)])}`)
  return `${xName} ${number(at < 10 ? Number(at.toPrecision(3)) : Math.round(at))}: ${values.join(', ')}`
}

function nearest(x: number[], at: number): number {
  let low = 0, high = x.length - 1
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (x[middle]! <= at) low = middle
    else high = middle
  }
  return Math.abs(x[low]! - at) <= Math.abs(x[high]! - at) ? low : high
}

/** Names at the lines' ends, moved up where they would stand on each other. */
function Names({ box, curves, lift, pointed }: OverlayProps & { box: Box; lift: (value: number) => number }) {
  const placed: { x: number; y: number }[] = []
  return (
    <>
      {curves.map(({ name, x, y }, i) => {
        let last = x.length - 1
        while (last > 0 && (!Number.isFinite(lift(y[last]!)) || box.x(x[last]!) > box.right + 1)) last--
        const at = { x: Math.min(box.x(x[last]!), box.right), y: Math.max(box.y(lift(y[last]!)), box.top + 16) - 7 }
        while (placed.some((one) => Math.abs(one.x - at.x) < 110 && Math.abs(one.y - at.y) < 14)) at.y -= 15
        const shown = Number.isFinite(at.y) && (curves.length <= SLOTS || pointed === i)
        if (!shown) return null
        placed.push(at)
        const left = at.x < box.left + 80
        const dimmed = pointed !== null && pointed !== i ? 'weak' : ''
        return <text class={`halo ${left ? '' : 'end'} ${dimmed}`} x={at.x} y={at.y}>{name.length > 28 ? `${name.slice(0, 26)}…` : name}</text>
      })}
    </>
  )
}
