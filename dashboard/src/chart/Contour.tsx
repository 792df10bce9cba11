// The loss surface with the steps on it: a parabola, a bowl in equal units, or the plane of the
// steepest and the flattest direction.
import { small } from '../lesson'
import type { Lesson, Surface } from '../lesson'
import { limits, range, remaining, ticks, weightsAfter } from '../math'
import type { Method, Mode } from '../math'
import type { Box } from './frame'
import { dots, Frame, line } from './frame'

interface ContourProps {
  lesson: Lesson
  surface: Surface
  method: Method
  steps: number
  step: number
  names: string[]
}

const HEIGHT = 300
const MOST_STEPS = 300
// Radii of the contours, as multiples of the start's: each holds 2.25 times the excess of the next.
const RADII = range(-6, 4).map((power) => 1.5 ** power)

export function Contour(props: ContourProps) {
  const { surface } = props
  if (surface.kind === 'parabola') return <Parabola {...props} surface={surface} />
  if (surface.kind === 'bowl') return <Bowl {...props} surface={surface} />
  if (surface.kind === 'plane') return <Plane {...props} surface={surface} />
  return <p class="refusal">Of several targets there is no one surface to draw.</p>
}

type Of<K extends Surface['kind']> = ContourProps & { surface: Extract<Surface, { kind: K }> }

const walked = ({ steps, step }: ContourProps) => range(0, Math.min(Math.max(steps, step), MOST_STEPS) + 1)

function Parabola(props: Of<'parabola'>) {
  const { surface: { at, minimum, eigenvalue, floor }, method, step, names } = props
  const loss = (w: number) => floor + (eigenvalue / 2) * (w - minimum) ** 2
  const reach = Math.abs(at - minimum) * 1.35 || 1
  const xs: [number, number] = [minimum - reach, minimum + reach]
  const ys = limits([floor, loss(xs[0])], 0.04)
  const axes = (width: number, height: number) => ({
    x: { limits: xs, ticks: ticks(...xs, width / 80), label: names[0] },
    y: { limits: ys, ticks: ticks(...ys, height / 45) },
  })
  const path = (ks: number[]) => [...remaining(eigenvalue, method, ks)].map((left) => minimum + left * (at - minimum))
  const ws = path(walked(props))
  const here = path([step])[0]!
  const curve = range(0, 121).map((i) => xs[0] + ((xs[1] - xs[0]) * i) / 120)
  return (
    <Frame height={HEIGHT} axes={axes} label={`The loss as a parabola over ${names[0]}, with the steps`}>
      {(box) => (
        <>
          <path class="curve plain" d={line(box, curve, curve.map(loss))} />
          <path class="walk" d={line(box, ws.flatMap((w, i) => (i ? [w, w] : [w])), ws.flatMap((w, i) => (i ? [loss(ws[i - 1]!), loss(w)] : [loss(w)])))} />
          <path class="walked" d={dots(box, ws.map((w) => ({ x: w, y: loss(w) })))} />
          <circle class="here" cx={box.x(here)} cy={box.y(loss(here))} r="5" />
          <Cross x={box.x(minimum)} y={box.y(floor)} />
        </>
      )}
    </Frame>
  )
}

function Bowl(props: Of<'bowl'>) {
  const { lesson: { told, of, offset, target }, surface: { start, minimum, modes }, method, step, names } = props
  const drawn = modes.map((i) => of.modes[i]!)
  // In view, whatever the rate: start, minimum, and where the longest stable step lands.
  const across = 2 * offset[modes[0]!]!, [vx, vy] = drawn[0]!.vector!
  const seen = [start, minimum, [start[0] - across * vx!, start[1] - across * vy!]]
  const [xs, ys] = [limits(seen.map((one) => one[0]!), 0.25), limits(seen.map((one) => one[1]!), 0.25)]
  const excess = drawn.reduce((sum, mode) => sum + mode.excess, 0)
  const axes = (width: number, height: number) => {
    // Equal units on both axes: steps stand at right angles to the contours.
    const unit = Math.max((xs[1] - xs[0]) / width, (ys[1] - ys[0]) / height)
    const side = ([from, to]: [number, number], length: number): [number, number] =>
      [(from + to - unit * length) / 2, (from + to + unit * length) / 2]
    const x = side(xs, width), y = side(ys, height)
    return { x: { limits: x, ticks: ticks(...x, width / 80), label: names[0] }, y: { limits: y, ticks: ticks(...y, height / 45) } }
  }
  const at = (k: number) => {
    const left = of.modes.map((mode) => remaining(mode.eigenvalue, method, [k])[0]!)
    const [x, y] = weightsAfter(told.weights[target]!, of.modes, offset, left)
    return { x: x!, y: y! }
  }
  const path = walked(props).map(at)
  return (
    <Frame height={HEIGHT} axes={axes} label={`Contours of the loss over ${names[0]} and ${names[1]}, with the steps`}
      over={(box) => <Ends box={box} start={{ x: start[0], y: start[1] }} minimum={{ x: minimum[0], y: minimum[1] }} floor={small(of)} />}>
      {(box) => (
        <>
          <rect class="ground" x={box.left} y={box.top} width={box.right - box.left} height={box.bottom - box.top} />
          {excess > 0 && <Ellipses box={box} modes={drawn} minimum={minimum} excess={excess} />}
          <Walk box={box} path={path} here={at(step)} />
          <Cross x={box.x(minimum[0])} y={box.y(minimum[1])} />
        </>
      )}
    </Frame>
  )
}

interface EllipsesProps { box: Box; modes: Mode[]; minimum: [number, number]; excess: number }

function Ellipses({ box, modes: [steep, flat], minimum, excess }: EllipsesProps) {
  const pixel = Math.abs(box.x(1) - box.x(0))
  const [vx, vy] = steep!.vector!
  const turn = `translate(${box.x(minimum[0])} ${box.y(minimum[1])}) rotate(${(-Math.atan2(vy!, vx!) * 180) / Math.PI})`
  const radius = (eigenvalue: number | undefined, r: number) =>
    Math.min(1e5, eigenvalue ? pixel * r * Math.sqrt((2 * excess) / eigenvalue) : 1e5)
  return (
    <g transform={turn}>
      {[...RADII].reverse().map((r) => (
        <ellipse class="contour" rx={radius(steep!.eigenvalue, r)} ry={radius(flat?.eigenvalue, r)} />
      ))}
    </g>
  )
}

function Plane(props: Of<'plane'>) {
  const { lesson: { of }, surface, method, step } = props
  const steep = of.modes[0]!.eigenvalue, flat = of.modes[of.modes.length - 1]!.eigenvalue
  const sides: [number, number] = [-1.5, 1.5]
  const axes = (width: number, height: number) => ({
    x: { limits: sides, ticks: ticks(...sides, width / 90), label: 'steepest direction, 1 at the start' },
    y: { limits: sides, ticks: ticks(...sides, height / 45) },
  })
  const ks = walked(props)
  const along = (eigenvalue: number, at: number[]) => [...remaining(eigenvalue, method, at)]
  const ys = along(flat, ks)
  const path = along(steep, ks).map((x, i) => ({ x, y: ys[i]! }))
  const here = { x: along(steep, [step])[0]!, y: along(flat, [step])[0]! }
  const excess = surface.steep + surface.flat
  return (
    <Frame height={HEIGHT} axes={axes} label="Contours of the loss over its steepest and flattest direction, with the steps"
      over={(box) => <Ends box={box} start={{ x: 1, y: 1 }} minimum={{ x: 0, y: 0 }} floor={small(of)} />}>
      {(box) => {
        const radius = (of: number, one: number, r: number) => Math.min(1e5, one * r * Math.sqrt(excess / (of || 1e-300)))
        return (
          <>
            <rect class="ground" x={box.left} y={box.top} width={box.right - box.left} height={box.bottom - box.top} />
            {[...RADII].reverse().map((r) => (
              <ellipse class="contour" cx={box.x(0)} cy={box.y(0)}
                rx={radius(surface.steep, box.x(1) - box.x(0), r)} ry={radius(surface.flat, box.y(0) - box.y(1), r)} />
            ))}
            <Walk box={box} path={path} here={here} />
            <Cross x={box.x(0)} y={box.y(0)} />
          </>
        )
      }}
    </Frame>
  )
}

interface Place { x: number; y: number }

function Walk({ box, path, here }: { box: Box; path: Place[]; here: Place }) {
  return (
    <>
      <path class="walk" d={line(box, path.map((one) => one.x), path.map((one) => one.y))} />
      <path class="walked" d={dots(box, path.filter((one) => Math.abs(box.x(one.x)) < 1e4 && Math.abs(box.y(one.y)) < 1e4))} />
      {Number.isFinite(here.x + here.y) && <circle class="here" cx={box.x(here.x)} cy={box.y(here.y)} r="5" />}
    </>
  )
}

function Ends({ box, start, minimum, floor }: { box: Box; start: Place; minimum: Place; floor: string }) {
  const x = box.x(minimum.x), y = box.y(minimum.y)
  const near = Math.hypot(box.x(start.x) - x, box.y(start.y) - y) < 24
  const left = box.x(start.x) > x && x > box.left + 100 // the walk comes from the start: names stand on the other sides
  return (
    <>
      <text class={left ? 'halo end' : 'halo'} x={left ? x - 9 : x + 9} y={y + 4}>minimum {floor}</text>
      {!near && <text class={left ? 'halo' : 'halo end'} x={box.x(start.x) + (left ? 8 : -8)} y={box.y(start.y) + (box.y(start.y) > y + 20 ? 16 : -8)}>start</text>}
    </>
  )
}

const Cross = ({ x, y }: Place) => <path class="cross" d={`M${x - 5} ${y}h10M${x} ${y - 5}v10`} />

