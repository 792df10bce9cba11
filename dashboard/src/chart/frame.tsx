// An SVG plot laid out in CSS pixels: axes, grid and a clipped inside. Text is never scaled.
import type { ComponentChildren } from 'preact'
import { useId, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { trimmed } from '../format'
import { scaled } from '../math'

export interface Axis {
  limits: [number, number]
  ticks: number[]
  label?: string
  text?: (tick: number) => string
}

/** The inside of a plot, and where values stand in it. */
export interface Box {
  left: number
  top: number
  right: number
  bottom: number
  x: (value: number) => number
  y: (value: number) => number
}

interface FrameProps {
  height: number
  axes: (width: number, height: number) => { x: Axis; y: Axis }
  label: string
  children: (box: Box) => ComponentChildren
  over?: (box: Box) => ComponentChildren
}

const CHARACTER = 6.8 // width of a digit of 12 px
/** The width that a part of the page has, followed as it changes. */
export function useWidth<E extends HTMLElement>() {
  const element = useRef<E>(null)
  const [width, setWidth] = useState(0)
  useLayoutEffect(() => {
    const watched = new ResizeObserver(([entry]) => setWidth(Math.floor(entry!.contentRect.width)))
    watched.observe(element.current!)
    setWidth(Math.floor(element.current!.clientWidth))
    return () => watched.disconnect()
  }, [])
  return [element, width] as const
}

export function Frame(props: FrameProps) {
  const [element, width] = useWidth<HTMLDivElement>()
  return (
    <div class="plot" ref={element} role="img" aria-label={props.label} style={{ minHeight: `${props.height}px` }}>
      {width > 0 && <Drawn {...props} width={width} />}
    </div>
  )
}

function Drawn({ width, height, axes, children, over }: FrameProps & { width: number }) {
  const clip = useId()
  const rough = axes(width - 60, height - 40)
  const words = rough.y.ticks.map((tick) => (rough.y.text ?? trimmed)(tick))
  const left = Math.ceil(Math.max(...words.map((word) => word.length), 2) * CHARACTER) + 12
  const box = { left, top: 8, right: width - 10, bottom: height - (rough.x.label ? 40 : 24) }
  const { x, y } = axes(box.right - box.left, box.bottom - box.top)
  const at: Box = {
    ...box,
    x: scaled(x.limits, [box.left, box.right]),
    y: scaled(y.limits, [box.bottom, box.top]),
  }
  return (
    <svg width={width} height={height} aria-hidden="true">
      <clipPath id={clip}>
        <rect x={box.left} y={box.top} width={box.right - box.left} height={box.bottom - box.top} />
      </clipPath>
      <path class="grid" d={grid(x, y, at)} />
      {x.ticks.map((tick) => (
        <text x={at.x(tick)} y={box.bottom + 17} class="middle">{(x.text ?? trimmed)(tick)}</text>
      ))}
      {y.ticks.map((tick) => (
        <text x={box.left - 8} y={at.y(tick) + 4} class="end">{(y.text ?? trimmed)(tick)}</text>
      ))}
      {x.label && <text x={(box.left + box.right) / 2} y={height - 6} class="middle">{x.label}</text>}
      <g clip-path={`url(#${clip})`}>{children(at)}</g>
      {over?.(at)}
    </svg>
  )
}

function grid(x: Axis, y: Axis, at: Box): string {
  const across = y.ticks.map((tick) => `M${at.left} ${at.y(tick).toFixed(1)}H${at.right}`)
  const down = x.ticks.map((tick) => `M${at.x(tick).toFixed(1)} ${at.top}V${at.bottom}`)
  return [...across, ...down].join('')
}

/** A path through points; a value that is not finite breaks it. */
export function line(box: Box, xs: ArrayLike<number>, ys: ArrayLike<number>): string {
  let path = '', pen = 'M'
  for (let i = 0; i < xs.length; i++) {
    const x = box.x(xs[i]!), y = box.y(ys[i]!)
    if (!Number.isFinite(x) || !Number.isFinite(y)) {
      pen = 'M'
      continue
    }
    path += `${pen}${within(x)} ${within(y)}`
    pen = 'L'
  }
  return path
}

// Coordinates far outside are cut: renderers lose their precision there.
const within = (at: number) => Math.max(-1e5, Math.min(1e5, at)).toFixed(2)

/** Many dots as one node: segments of no length with round caps. */
export function dots(box: Box, points: { x: number; y: number }[]): string {
  return points.map(({ x, y }) => `M${box.x(x).toFixed(1)} ${box.y(y).toFixed(1)}h0`).join('')
}

/** Many rings as one node. */
export function rings(box: Box, points: { x: number; y: number }[], radius = 2.5): string {
  return points
    .map(({ x, y }) =>
      `M${(box.x(x) - radius).toFixed(1)} ${box.y(y).toFixed(1)}` +
      `a${radius} ${radius} 0 1 0 ${2 * radius} 0a${radius} ${radius} 0 1 0 ${-2 * radius} 0`)
    .join('')
}
