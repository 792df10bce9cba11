// A line chart in the page: drawn by chart/canvas, read and zoomed by pointer and keyboard.
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { saveFile } from '../controls'
import { number } from '../format'
import { useStore } from '../store'
import { shades } from '../theme'
import { Canvas } from './canvas'
import type { Drawing } from './canvas'
import { lowestDrawn, told } from './view'

export type { Mark, Series } from './canvas'

interface LineProps extends Drawing {
  onRange: (range: [number, number] | null) => void
  /** The place in x that is pointed at. */
  onPoint?: (place: number | null) => void
  label: string
  /** The curve in words. */
  summary: string
  xName?: string
  height?: number
  /** Is given how to store the chart as a picture. */
  save?: { current: (() => void) | null }
}

export function Line(props: LineProps) {
  const { height = 280, save } = props
  const holder = useRef<HTMLDivElement>(null)
  const canvas = useRef<Canvas | null>(null)
  const [place, setPlace] = useState<number | null>(null)
  const [whole, setWhole] = useState(false)
  const [startsAt, setStartsAt] = useState<number | null>(null)
  const shade = useStore(shades)

  useLayoutEffect(() => {
    canvas.current = new Canvas(holder.current!, height)
    return () => canvas.current!.destroy()
  }, [height])
  useLayoutEffect(() => {
    const now = canvas.current!
    now.onRange = props.onRange
    now.onPoint = (found) => {
      setPlace(found)
      props.onPoint?.(found)
    }
    now.show({ ...props, clip: !!props.clip && !whole })
    setStartsAt(now.extent.startsAt)
    if (save) save.current = () => void now.picture().then((file) => file && saveFile(`${props.label}.png`, file))
  })
  useEffect(() => canvas.current!.later(), [shade])

  return (
    <div class="chart">
      <div
        class="line"
        ref={holder}
        style={{ minHeight: `${height}px` }}
        role="group"
        tabIndex={0}
        aria-roledescription="chart"
        aria-label={`${props.label}. ${props.summary}`}
        onKeyDown={(event) => pressed(event, canvas.current!, props, place)}
        onBlur={() => canvas.current!.point(null)}
        onDblClick={() => props.onRange(null)}
      />
      <p class="unseen" role="status">{place !== null && reading(props, place)}</p>
      {(whole || startsAt !== null) && (
        <button type="button" class="link small" onClick={() => setWhole(!whole)}>
          {whole ? 'Fit the axis to what follows the start' : 'Show the start too'}
        </button>
      )}
    </div>
  )
}

function reading({ x, series, log, xName = 'epoch' }: LineProps, place: number): string {
  const edge = lowestDrawn(series.map((one) => one.y), log)
  return `${xName} ${number(x[place])}: ${series.map((one) => `${one.name} ${told(one.y[place], edge)}`).join(', ')}`
}

function pressed(event: KeyboardEvent, canvas: Canvas, props: LineProps, place: number | null): void {
  const last = props.x.length - 1
  const stride = event.shiftKey ? Math.max(1, Math.round(last / 20)) : 1
  const acts: Record<string, () => void> = {
    ArrowLeft: () => canvas.point(Math.max(0, (place ?? last + 1) - stride)),
    ArrowRight: () => canvas.point(Math.min(last, (place ?? -1) + stride)),
    Home: () => canvas.point(0),
    End: () => canvas.point(last),
    '+': () => props.onRange(zoomed(props, place, 0.5)),
    '-': () => props.onRange(zoomed(props, place, 2)),
    Escape: () => (place === null ? props.onRange(null) : canvas.point(null)),
  }
  const act = acts[event.key]
  if (!act || last < 0) return
  event.preventDefault()
  event.stopPropagation()
  act()
}

function zoomed({ x, range }: LineProps, place: number | null, times: number): [number, number] | null {
  const [first, last] = [x[0], x[x.length - 1]]
  const [from, to] = range ?? [first, last]
  const middle = place === null ? (from + to) / 2 : x[place]
  const half = ((to - from) * times) / 2
  const next: [number, number] = [Math.max(first, middle - half), Math.min(last, middle + half)]
  return next[0] <= first && next[1] >= last ? null : next
}
