// The slider of the rate, with the fastest rate and the limit marked on it.
import { useState } from 'preact/hooks'
import { Card } from '../../controls'
import { percent, rateText } from '../../format'
import { verdict } from '../../lesson'
import { fastest, limit } from '../../math'
import type { Method, Quadratic } from '../../math'

interface RateProps {
  of: Quadratic
  method: Method
  /** The rate that the job used. */
  own?: number
  onChange: (rate: number) => void
}

const MOST = 1.2 // of the limit
const SNAP = 0.004
const STEPS: Record<string, number> = { ArrowLeft: -0.005, ArrowDown: -0.005, ArrowRight: 0.005, ArrowUp: 0.005, PageDown: -0.05, PageUp: 0.05 }

export function Rate({ of, method, own, onChange }: RateProps) {
  const { rate, momentum, nesterov } = method
  const bound = limit(of.modes, momentum, nesterov), fast = fastest(of.modes, momentum, nesterov)
  const most = Math.max(MOST, (own ?? 0) / bound, rate / bound)
  const { word, text } = verdict(of, method)
  // A rate that a person chose by hand has four digits; the marks are exact.
  const chosen = (part: number) =>
    [fast, bound].find((one) => Math.abs(one / bound - part) < SNAP) ?? Number((part * bound).toPrecision(4))
  const place = (part: number) => `calc(9px + (100% - 18px) * ${part / most})`
  const pressed = (event: KeyboardEvent) => {
    const by = STEPS[event.key]
    if (by === undefined) return
    event.preventDefault()
    const next = Math.round((rate / bound + by) * 200) / 200
    onChange(next === 1 ? bound : Number((Math.min(most, Math.max(0.01, next)) * bound).toPrecision(4)))
  }
  return (
    <Card title="Learning rate" side={<Exact rate={rate} bound={bound} onChange={onChange} />}>
      <input class="slider" type="range" min={0.01} max={most} step="any" value={rate / bound} aria-label="Learning rate"
        aria-valuetext={`${rateText(rate)}, ${percent(rate / bound)} of the limit, ${word.toLowerCase()}`}
        onKeyDown={pressed} onInput={(event) => onChange(chosen(Number(event.currentTarget.value)))} />
      <div class="slider-marks">
        <span class="zero">0</span>
        <span class="before good" style={{ left: place(fast / bound) }}><span class="say">fastest </span>{rateText(fast)} ▲</span>
        <span class="after bad" style={{ left: place(1) }}>▲ <span class="say">limit </span>{rateText(bound)}</span>
        {own !== undefined && <span class="own" style={{ left: place(own / bound) }} title={`the job's rate, ${own}`} />}
      </div>
      <p aria-live="polite"><b class={word === 'Diverges' ? 'bad' : ''}>{word}.</b> {text}</p>
    </Card>
  )
}

function Exact({ rate, bound, onChange }: { rate: number; bound: number; onChange: (rate: number) => void }) {
  const [text, setText] = useState<string | null>(null)
  const done = () => {
    const value = Number(text?.replace(',', '.'))
    if (text !== null && value > 0 && Number.isFinite(value)) onChange(value)
    setText(null)
  }
  return (
    <label class="row exact">
      <span class="unseen">Exact learning rate</span>
      <input class="search" inputMode="decimal" value={text ?? String(Number(rate.toPrecision(4)))} title={String(rate)}
        onInput={(event) => setText(event.currentTarget.value)} onBlur={done}
        onKeyDown={(event) => event.key === 'Enter' && done()} />
      <span class="small">{percent(rate / bound)} of the limit</span>
    </label>
  )
}
