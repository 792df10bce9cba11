// One step looked at: forward pass, loss, gradient three ways, update. Numbers of the gradient are
// the server's; the page only tells what the closed form says until they are here.
import type { ComponentChildren } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { answered } from '../../api'
import { Button, Card, Failure } from '../../controls'
import { number } from '../../format'
import { initAt, stepAt, symbols } from '../../lesson'
import type { Lesson } from '../../lesson'
import type { Method } from '../../math'
import { useResource } from '../../resource'
import type { Gradients, JobSpec } from '../../wire'

interface StepsProps {
  lesson: Lesson
  spec: JobSpec
  method: Method
  step: number
  most: number
  onStep: (step: number) => void
}

const PATIENCE = 150 // milliseconds after the last movement before the server is asked

export function Steps(props: StepsProps) {
  const { lesson, method, step, most, onStep } = props
  const [playing, setPlaying] = useState(false)
  useEffect(() => {
    if (!playing) return
    if (step >= most) return setPlaying(false)
    const next = setTimeout(() => onStep(step + 1), 250)
    return () => clearTimeout(next)
  }, [playing, step])
  const told = useTold(props)
  const here = stepAt(lesson, method, step), next = stepAt(lesson, method, step + 1)
  const names = symbols(lesson.told.parameters)
  return (
    <Card
      title={`Step ${step + 1} by hand and by autograd`}
      side={
        <div class="row stepper">
          <Button aria-label="One step back" disabled={step === 0} onClick={() => onStep(step - 1)}>◂</Button>
          <label class="row"><span class="small">after {step} {step === 1 ? 'step' : 'steps'}</span>
            <input type="range" aria-label="Step" min={0} max={most} value={Math.min(step, most)} onInput={(event) => onStep(Number(event.currentTarget.value))} />
          </label>
          <Button aria-label="One step on" disabled={step >= most} onClick={() => onStep(step + 1)}>▸</Button>
          <Button onClick={() => setPlaying(!playing)} disabled={step >= most}>{playing ? 'Stop' : 'Play'}</Button>
        </div>
      }
    >
      <ol class="steps">
        <Step title="Forward pass: predict every row">
          {names.length <= 2 ? <Line fitted={names.length === 2} /> : <Product />}
          <Rows told={told.value} target={lesson.target} names={names} />
        </Step>
        <Step title="Loss: the mean of the squared errors">
          <MeanSquare value={told.value?.objective ?? here.loss} penalized={told.value !== undefined && told.value.objective !== told.value.loss} />
        </Step>
        <Step title={`Gradient: three ways to the same ${names.length === 1 ? 'number' : `${names.length} numbers`}`}>
          {told.error ? <Failure error={told.error} again={told.reload} /> : <Methods told={told.value} closed={here.gradient} names={names} target={lesson.target} />}
        </Step>
        <Step title="Update: one step against the gradient">
          <Update names={names} from={here.weights} gradient={here.gradient} to={next.weights} method={method} first={step === 0} />
          <p class="small">The loss goes from {number(here.loss, 5)} to {number(next.loss, 5)}.</p>
        </Step>
      </ol>
    </Card>
  )
}

/** What the server computes at this step: it is asked when the slider rests. */
function useTold({ lesson, spec, method, step }: StepsProps) {
  const [rested, setRested] = useState({ step, rate: method.rate })
  useEffect(() => {
    const later = setTimeout(() => setRested({ step, rate: method.rate }), PATIENCE)
    return () => clearTimeout(later)
  }, [step, method.rate])
  const current = rested.step === step && (step === 0 || rested.rate === method.rate)
  const init = current && step > 0 ? initAt(lesson, method, step) : null
  const asked = { ...spec, hyperparameters: { ...spec.hyperparameters, init: init ?? undefined } }
  const answer = useResource(init ? (signal) => answered<Gradients>('v1/gradients', asked, signal) : null, [rested.step, rested.step && rested.rate, method.momentum, current])
  if (step === 0) return { value: lesson.told, error: undefined, reload: answer.reload }
  return { value: current && !answer.busy ? answer.value : undefined, error: current ? answer.error : undefined, reload: answer.reload }
}

function Step({ title, children }: { title: string; children: ComponentChildren }) {
  return <li><h3>{title}</h3>{children}</li>
}

function Rows({ told, target, names }: { told?: Gradients; target: number; names: string[] }) {
  if (!told) return <p class="small">asking the server…</p>
  if (!told.samples.length) return null
  const shown = told.samples[0]!.x.length <= 3
  return (
    <details class="rows">
      <summary>{firstRow(told, target)}</summary>
      <div class="scroll">
        <table>
          <thead>
            <tr>{shown && told.center.map((_, j) => <th class="number">{names[j] === 'w' ? 'x' : names[j]}</th>)}
              <th class="number">predicted ŷ</th><th class="number">actual y</th><th class="number">error ŷ − y</th></tr>
          </thead>
          <tbody>
            {told.samples.map(({ x, predicted, actual }) => (
              <tr>{shown && x.map((one) => <td class="number">{number(one)}</td>)}
                <td class="number">{number(predicted[target]!)}</td><td class="number">{number(actual[target]!)}</td>
                <td class="number">{number(predicted[target]! - actual[target]!)}</td></tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  )
}

function firstRow({ samples, weights, parameters }: Gradients, target: number): string {
  const { x, predicted, actual } = samples[0]!
  const at = weights[target]!
  if (x.length > 1) return `first row: predicted ${number(predicted[target]!)}, actual ${number(actual[target]!)}`
  const bias = parameters.length > 1 ? ` + ${number(at[1]!)}` : ''
  return `first row: ${number(at[0]!)} × ${number(x[0]!)}${bias} = ${number(predicted[target]!)}, actual ${number(actual[target]!)}`
}

const METHODS = [['autograd', 'autograd (loss.backward)'], ['by_hand', 'by hand'], ['finite_differences', 'finite differences']] as const

interface MethodsProps { told?: Gradients; closed: number[]; names: string[]; target: number }

const MOST_ROWS = 12

function Methods({ told, closed, names, target }: MethodsProps) {
  const waiting = (method: string) => <span class="muted">{method === 'autograd' ? 'asking PyTorch…' : '…'}</span>
  return (
    <table class="gradient">
      <thead><tr><td />{METHODS.map(([method, text]) => <th class="number">{method === 'by_hand' ? <><Hand /> {text}</> : text}</th>)}<th class="number">closed form, in this page</th></tr></thead>
      <tbody>
        {names.slice(0, MOST_ROWS).map((name, j) => (
          <tr>
            <th scope="row">∂L/∂{name}</th>
            {METHODS.map(([method, text]) => <td class="number" data-label={text}>{told ? <Digits of={told[method][target]![j]!} /> : waiting(method)}</td>)}
            <td class="number muted" data-label="closed form, in this page"><Digits of={closed[j]!} /></td>
          </tr>
        ))}
        <tr class="muted">
          <th scope="row" class="muted">differs from autograd by</th><td class="number">–</td>
          {METHODS.slice(1).map(([method, text]) => <td class="number" data-label={text}>{told ? number(told[`${method as 'by_hand'}_difference`].absolute, 2) : '…'}</td>)}<td />
        </tr>
      </tbody>
    </table>
  )
}

/** Digits enough to see where three ways part. */
const Digits = ({ of }: { of: number }) => <span title={String(of)}>{number(of, 8)}</span>

interface UpdateProps { names: string[]; from: number[]; gradient: number[]; to: number[]; method: Method; first: boolean }

function Update({ names, from, gradient, to, method, first }: UpdateProps) {
  const pushed = method.momentum > 0 && !first
  return (
    <>
      {names.slice(0, MOST_ROWS).map((name, j) => (
        <p class="mono update">
          {name}: {number(from[j]!)} − {Number(method.rate.toPrecision(4))} × {pushed ? number((from[j]! - to[j]!) / method.rate) : number(gradient[j]! * (method.nesterov ? 1 + method.momentum : 1))} = <b>{number(to[j]!)}</b>
        </p>
      ))}
      {names.length > MOST_ROWS && <p class="small">and {names.length - MOST_ROWS} more</p>}
      {pushed && <p class="small">With momentum the step is the running sum of earlier gradients, each {method.momentum} of the one after.</p>}
    </>
  )
}

// --- Formulas: MathML, which browsers set by themselves -------------------------------------------

const Hat = () => <mover><mi>y</mi><mo>^</mo></mover>

const Line = ({ fitted }: { fitted: boolean }) => (
  <math display="block"><msub><Hat /><mi>i</mi></msub><mo>=</mo><mi>w</mi><msub><mi>x</mi><mi>i</mi></msub>{fitted && <><mo>+</mo><mi>b</mi></>}</math>
)

const Product = () => <math display="block"><Hat /><mo>=</mo><mi>X</mi><mi>w</mi></math>

const Hand = () => (
  <math><mfrac><mn>2</mn><mi>n</mi></mfrac><msup><mi>X</mi><mi>T</mi></msup><mo>(</mo><mi>X</mi><mi>w</mi><mo>−</mo><mi>y</mi><mo>)</mo></math>
)

const MeanSquare = ({ value, penalized }: { value: number; penalized: boolean }) => (
  <math display="block">
    <mi>L</mi><mo>=</mo><mfrac><mn>1</mn><mi>n</mi></mfrac><munder><mo>∑</mo><mi>i</mi></munder>
    <msup><mrow><mo>(</mo><msub><Hat /><mi>i</mi></msub><mo>−</mo><msub><mi>y</mi><mi>i</mi></msub><mo>)</mo></mrow><mn>2</mn></msup>
    {penalized && <><mo>+</mo><msub><mi>l</mi><mn>2</mn></msub><msup><mrow><mo>‖</mo><mi>w</mi><mo>‖</mo></mrow><mn>2</mn></msup></>}
    <mo>=</mo><mn>{number(value, 6)}</mn>
  </math>
)
