// Lines on a canvas: axes, curves, marks and a cursor, drawn anew in one pass and at most once a
// frame. Knows nothing of Preact; chart/Line.tsx feeds it.
import { number, powerOfTen } from '../format'
import { scaled, smooth } from '../math'
import { colour } from '../theme'
import { drawn, edgeOf, extent, heightTicks, nearest, wholeTicks } from './view'
import type { Extent } from './view'

export interface Series {
  name: string
  y: ArrayLike<number>
  /** 1 to 6: its colour. */
  slot: number
  dash?: number[]
  /** 0 to 0.95; the measured line stays behind, faint. */
  smooth?: number
  /** Drawn faint, while others are looked at. */
  quiet?: boolean
}

export interface Mark {
  kind: 'best' | 'turn' | 'event' | 'latest'
  x: number
  y?: number
  text?: string
  slot?: number
}

export interface Drawing {
  /** Rising; shared by all series. */
  x: ArrayLike<number>
  series: Series[]
  log: boolean
  marks?: Mark[]
  floor?: number | null
  clip?: boolean
  range: [number, number] | null
  /** Numbers on x need not be whole. */
  fractional?: boolean
}

const FAINT = '73' // 45 %, as the end of a colour
const QUIET = '59' // 35 %
const TOP = 8
const RIGHT = 14
const BOTTOM = 28
const LEAST_DRAG = 4

interface Curve {
  of: Series
  values: Float64Array
  faint: boolean
}

export class Canvas {
  extent: Extent = { low: 0, high: 1, startsAt: null }
  onPoint: (place: number | null) => void = () => undefined
  onRange: (range: [number, number]) => void = () => undefined
  private canvas = document.createElement('canvas')
  private ctx = this.canvas.getContext('2d')!
  private told: Drawing = { x: [], series: [], log: false, range: null }
  private curves: Curve[] = []
  private edge = 0
  private place: number | null = null
  private drag: [number, number] | null = null
  private width = 0
  private left = 40
  private frame = 0
  private watched: ResizeObserver

  constructor(private holder: HTMLElement, private height: number) {
    holder.append(this.canvas)
    this.watched = new ResizeObserver(() => this.later())
    this.watched.observe(holder)
    holder.addEventListener('pointermove', (event) => this.moved(event))
    holder.addEventListener('pointerdown', (event) => this.pressed(event))
    holder.addEventListener('pointerup', () => this.released())
    holder.addEventListener('pointerleave', () => this.point(null))
  }

  destroy(): void {
    cancelAnimationFrame(this.frame)
    this.watched.disconnect()
    this.canvas.remove()
  }

  show(told: Drawing): void {
    this.told = told
    const lines = told.series.map((one) => one.y)
    const edge = (this.edge = edgeOf(lines))
    this.extent = extent(told.x, lines, { ...told, clip: !!told.clip }, edge)
    this.curves = told.series.flatMap((of) => {
      const raw = { of, values: drawn(of.y, told.log, edge), faint: false }
      if (!of.smooth) return [raw]
      const soft = drawn(smooth(told.x, of.y, of.smooth), told.log, edge)
      return [{ ...raw, faint: true }, { of, values: soft, faint: false }]
    })
    this.later()
  }

  /** Point at a place in x, or at none. */
  point(place: number | null): void {
    if (place === this.place) return
    this.place = place
    this.onPoint(place)
    this.later()
  }

  /** Draw once in a frame, however often it is asked for. */
  later(): void {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0
      this.draw()
    })
  }

  /** The chart as a picture, on the colour of its card. */
  picture(): Promise<Blob | null> {
    const copy = document.createElement('canvas')
    ;[copy.width, copy.height] = [this.canvas.width, this.canvas.height]
    const to = copy.getContext('2d')!
    to.fillStyle = colour('surface')
    to.fillRect(0, 0, copy.width, copy.height)
    to.drawImage(this.canvas, 0, 0)
    return new Promise((done) => copy.toBlob(done))
  }

  // ---- pointer ----

  private moved(event: PointerEvent): void {
    const at = event.clientX - this.holder.getBoundingClientRect().left
    if (this.drag) {
      this.drag[1] = at
      this.later()
    }
    const inside = at >= this.left - 4 && at <= this.width - RIGHT + 4
    this.point(inside && this.told.x.length ? nearest(this.told.x, this.valueAt(at)) : null)
  }

  private pressed(event: PointerEvent): void {
    this.moved(event)
    if (event.pointerType === 'touch' || event.button !== 0) return // there a drag scrolls the page
    const at = event.clientX - this.holder.getBoundingClientRect().left
    this.drag = [at, at]
    this.holder.setPointerCapture(event.pointerId)
  }

  private released(): void {
    const [a, b] = this.drag ?? [0, 0]
    this.drag = null
    this.later()
    if (Math.abs(a - b) < LEAST_DRAG) return
    this.onRange([this.valueAt(Math.min(a, b)), this.valueAt(Math.max(a, b))])
  }

  private across(): [number, number] {
    const { x, range } = this.told
    const [from, to] = range ?? [x[0] ?? 0, x[x.length - 1] ?? 1]
    return [from, to > from ? to : from + 1]
  }

  private inside(): [number, number] {
    return [this.left, this.width - RIGHT]
  }

  private valueAt(at: number): number {
    const [from, to] = this.across()
    return Math.max(from, Math.min(to, scaled(this.inside(), [from, to])(at)))
  }

  // ---- drawing, in CSS pixels ----

  private draw(): void {
    this.resize()
    const { ctx, height, told } = this
    ctx.clearRect(0, 0, this.width, height)
    ctx.font = `12px ${getComputedStyle(this.holder).fontFamily}`
    const { low, high } = this.extent
    const ticks = heightTicks(low, high, told.log)
    const words = this.words(ticks)
    this.left = Math.ceil(Math.max(14, ...words.map((word) => ctx.measureText(word).width))) + 10
    const x = scaled(this.across(), this.inside())
    const y = scaled([low, high], [height - BOTTOM, TOP])
    this.grid(x, y, ticks, words)
    ctx.save()
    ctx.beginPath()
    ctx.rect(this.left, TOP - 5, this.width - this.left - RIGHT + 8, height - BOTTOM - TOP + 10)
    ctx.clip()
    this.floor(x, y)
    for (const curve of this.curves) this.curve(curve, x, y)
    for (const mark of told.marks ?? []) this.mark(mark, x, y)
    this.cursor(x, y)
    ctx.restore()
    this.start()
  }

  private resize(): void {
    const width = this.holder.clientWidth
    const ratio = devicePixelRatio || 1
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(this.height * ratio)) {
      this.canvas.width = Math.round(width * ratio)
      this.canvas.height = Math.round(this.height * ratio)
      this.canvas.style.width = `${width}px`
      this.canvas.style.height = `${this.height}px`
    }
    this.width = width
    this.ctx.setTransform(ratio, 0, 0, ratio, 0, 0)
  }

  private words(ticks: number[]): string[] {
    if (!this.told.log) return ticks.map((value) => number(value, 3))
    const wide = ticks.length > 1 && ticks[ticks.length - 1] - ticks[0] >= 5
    return ticks.map((value) => (wide ? powerOfTen(Math.round(value)) : number(Number((10 ** value).toPrecision(3)), 3)))
  }

  private grid(x: (v: number) => number, y: (v: number) => number, ticks: number[], words: string[]): void {
    const { ctx, left, height } = this
    const [from, to] = this.across()
    const about = Math.max(2, Math.round(this.width / 110))
    const below = this.told.fractional ? heightTicks(from, to, false) : wholeTicks(from, to, about)
    ctx.fillStyle = colour('muted')
    ctx.textAlign = 'center'
    for (const tick of below) ctx.fillText(number(tick, 3), x(tick), height - 8)
    ctx.textAlign = 'right'
    ticks.forEach((tick, i) => ctx.fillText(words[i], left - 8, y(tick) + 4))
    this.stroke('grid', 1, [], () => {
      for (const tick of ticks) this.rule(left, y(tick), this.width - RIGHT, y(tick))
      for (const tick of below) this.rule(x(tick), TOP, x(tick), height - BOTTOM)
    })
  }

  private curve({ of, values, faint }: Curve, x: (v: number) => number, y: (v: number) => number): void {
    const { ctx, told } = this
    const [from, to] = this.across()
    const first = Math.max(0, nearest(told.x, from) - 1)
    ctx.beginPath()
    ctx.setLineDash(faint ? [] : (of.dash ?? []))
    ctx.lineJoin = 'round'
    ctx.lineWidth = faint ? 1 : 2
    ctx.strokeStyle = colour(`s${of.slot}`) + (faint ? FAINT : of.quiet ? QUIET : '')
    let pen = false // a value that is no number breaks the line
    for (let i = first; i < values.length; i++) {
      const at = y(values[i])
      if (Number.isNaN(at)) pen = false
      else if (pen) ctx.lineTo(x(told.x[i]), at)
      else ctx.moveTo(x(told.x[i]), at)
      pen = !Number.isNaN(at)
      if (told.x[i] > to) break
    }
    ctx.stroke()
    ctx.setLineDash([])
  }

  private floor(x: (v: number) => number, y: (v: number) => number): void {
    const { floor, log } = this.told
    if (typeof floor !== 'number' || (log && !(floor > 0))) return
    const at = y(log ? Math.log10(floor) : floor)
    if (at > this.height - BOTTOM + 1 || at < TOP) return
    this.stroke('good', 1.25, [5, 4], () => this.rule(this.left, at, this.width - RIGHT, at))
    // Where no curve runs: below its line or above it, at the right or in the middle.
    const words = `lowest possible ${number(floor)}`
    const right = this.width - RIGHT
    const places = [right, (this.left + right) / 2 + 60].flatMap((end) => [[end, at + 14], [end, at - 6], [end, at - 20]] as const)
    const wide = this.ctx.measureText(words).width
    const free = places.find(([end, base]) => !this.curves.some(({ values }) => values.some((value, i) => {
      const [across, up] = [x(this.told.x[i]), y(value)]
      return across > end - wide && across < end && up > base - 12 && up < base + 4
    })))
    this.text(words, ...(free ?? places[0]), 'good', 'right')
  }

  private start(): void {
    const { startsAt } = this.extent
    if (startsAt !== null) this.text(`▲ starts at ${number(startsAt, 3)}`, this.left + 18, TOP + 12, 'muted', 'left')
  }

  private mark({ kind, slot = 1, text = '', ...mark }: Mark, x: (v: number) => number, y: (v: number) => number): void {
    const at = x(mark.x)
    const bottom = this.height - BOTTOM
    if (kind === 'turn') {
      this.stroke('bad', 1.25, [4, 4], () => this.rule(at, TOP, at, bottom))
      const late = at > this.width * 0.6
      return this.text(text, at + (late ? -7 : 7), TOP + 12, 'bad', late ? 'right' : 'left')
    }
    if (kind === 'event') return this.stroke('warn', 2, [], () => this.rule(at, bottom - 6, at, bottom + 4))
    const [height] = drawn([mark.y!], this.told.log, this.edge)
    if (Number.isFinite(height)) this.dot(at, y(height!), slot, kind === 'latest')
  }

  /** The line under the pointer, and a dot where it meets each curve. */
  private cursor(x: (v: number) => number, y: (v: number) => number): void {
    const { place, told, drag, ctx } = this
    if (drag && Math.abs(drag[0] - drag[1]) >= LEAST_DRAG) {
      ctx.fillStyle = `${colour('accent')}24`
      ctx.fillRect(Math.min(...drag), TOP, Math.abs(drag[0] - drag[1]), this.height - TOP - BOTTOM)
    }
    if (place === null || place >= told.x.length) return
    const at = x(told.x[place])
    this.stroke('edge', 1, [], () => this.rule(at, TOP, at, this.height - BOTTOM))
    for (const { of, values, faint } of this.curves)
      if (faint || !of.smooth) this.dot(at, y(values[place]), of.slot, true)
  }

  private dot(x: number, y: number, slot: number, large: boolean): void {
    const { ctx } = this
    if (Number.isNaN(y)) return
    ctx.beginPath()
    ctx.arc(x, y, large ? 4.5 : 3.5, 0, 7)
    ctx.fillStyle = colour('surface')
    ctx.strokeStyle = colour(`s${slot}`)
    ctx.lineWidth = large ? 2 : 1.5
    ctx.fill()
    ctx.stroke()
  }

  private stroke(token: string, width: number, dash: number[], path: () => void): void {
    const { ctx } = this
    ctx.beginPath()
    ctx.setLineDash(dash)
    ctx.lineWidth = width
    ctx.strokeStyle = colour(token)
    path()
    ctx.stroke()
    ctx.setLineDash([])
  }

  private rule(fromX: number, fromY: number, toX: number, toY: number): void {
    const crisp = (value: number) => Math.round(value) + 0.5
    this.ctx.moveTo(crisp(fromX), crisp(fromY))
    this.ctx.lineTo(crisp(toX), crisp(toY))
  }

  /** Text with a halo, so that it is read wherever a curve goes. */
  private text(words: string, x: number, y: number, token: string, align: CanvasTextAlign): void {
    const { ctx } = this
    ctx.textAlign = align
    ctx.lineJoin = 'round'
    ctx.lineWidth = 4
    ctx.strokeStyle = colour('surface')
    ctx.strokeText(words, x, y)
    ctx.fillStyle = colour(token)
    ctx.fillText(words, x, y)
  }
}
