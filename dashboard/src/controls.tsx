// The small parts that pages are made of: cards, badges, segments, dialogs, copy buttons, toasts.
import type { ComponentChildren, JSX } from 'preact'
import { useEffect, useId, useRef, useState } from 'preact/hooks'
import { createStore, useStore } from './store'
import { told } from './api'

interface CardProps {
  title: string
  side?: ComponentChildren
  children: ComponentChildren
  className?: string
}

export function Card({ title, side, children, className = '' }: CardProps) {
  const id = useId()
  return (
    <section class={`card ${className}`} aria-labelledby={id}>
      <header class="card-head">
        <h2 id={id}>{title}</h2>
        {side}
      </header>
      {children}
    </section>
  )
}

interface SegmentsProps<T extends string> {
  label: string
  value: T
  options: readonly (readonly [value: T, label: string])[]
  onChange: (value: T) => void
}

/** A radio group that looks like one divided button. */
export function Segments<T extends string>({ label, value, options, onChange }: SegmentsProps<T>) {
  const name = useId()
  return (
    <fieldset class="segments">
      <legend class="unseen">{label}</legend>
      {options.map(([one, text]) => (
        <label key={one}>
          <input
            type="radio"
            name={name}
            value={one}
            checked={one === value}
            onChange={() => onChange(one)}
          />
          <span>{text}</span>
        </label>
      ))}
    </fieldset>
  )
}

const PATHS: Record<string, string> = {
  check: 'm3.5 8.5 3 3 6-7',
  cross: 'm4 4 8 8m0-8-8 8',
  ring: 'M13.5 8A5.5 5.5 0 1 1 8 2.5',
  clock: 'M8 4.5V8l2.5 1.5M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0Z',
  stop: 'M4.5 4.5h7v7h-7z',
  warning: 'M8 2 1.5 13.5h13L8 2Zm0 4.5v3.2m0 2v.1',
  moon: 'M13.5 9.6A5.8 5.8 0 0 1 6.4 2.5a5.8 5.8 0 1 0 7.1 7.1Z',
  sun: 'M8 1v2m0 10v2M1 8h2m10 0h2M11 8a3 3 0 1 1-6 0 3 3 0 0 1 6 0Z',
  system: 'M2 3h12v8H2zM5.5 13.5h5',
}

export function Icon({ name, className = '' }: { name: string; className?: string }) {
  return (
    <svg class={`icon ${className}`} viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  )
}

export type Tone = 'running' | 'good' | 'bad' | 'warn' | 'quiet'

export function Badge({ tone, icon, children }: { tone: Tone; icon: string; children: string }) {
  return (
    <span class={`badge ${tone}`}>
      <Icon name={icon} className={icon === 'ring' ? 'turning' : ''} />
      {children}
    </span>
  )
}

type ButtonProps = Omit<JSX.IntrinsicElements['button'], 'onClick' | 'ref'> & {
  onClick: () => unknown
  tone?: 'primary' | 'danger' | 'plain'
}

/** A button that is disabled while what it started has not ended, and tells what went wrong. */
export function Button({ onClick, tone = 'plain', disabled, children, ...rest }: ButtonProps) {
  const [busy, setBusy] = useState(false)
  const act = async () => {
    setBusy(true)
    try {
      await onClick()
    } catch (error) {
      toast(told(error), 'bad')
    } finally {
      setBusy(false)
    }
  }
  return (
    <button type="button" class={`button ${tone}`} disabled={busy || disabled} onClick={act} {...rest}>
      {children}
    </button>
  )
}

export function Copy({ text, label = 'Copy' }: { text: string | (() => string); label?: string }) {
  const [copied, setCopied] = useState(false)
  const copy = async () => {
    await toClipboard(typeof text === 'string' ? text : text())
    setCopied(true)
    setTimeout(() => setCopied(false), 1500)
  }
  return <Button onClick={copy}>{copied ? 'Copied' : label}</Button>
}

/** Copy as a link in running text does. */
export function CopyLink({ text, children }: { text: () => string; children: string }) {
  return (
    <button
      type="button"
      class="link"
      onClick={() => toClipboard(text()).then(() => toast(`${children} copied.`), () => toast(NO_CLIPBOARD, 'bad'))}
    >
      {children}
    </button>
  )
}

const NO_CLIPBOARD = 'The browser does not let this page write to the clipboard.'

async function toClipboard(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text)
  const area = document.createElement('textarea') // plain http on another machine has no clipboard
  area.value = text
  document.body.append(area)
  area.select()
  const done = document.execCommand('copy')
  area.remove()
  if (!done) throw new Error(NO_CLIPBOARD)
}

/** Have the browser store what was made here as a file. */
export function saveFile(name: string, content: Blob): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(content)
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
}

interface DialogProps {
  title: string
  onClose: () => void
  children: ComponentChildren
}

export function Dialog({ title, onClose, children }: DialogProps) {
  const box = useRef<HTMLDialogElement>(null)
  const id = useId()
  useEffect(() => box.current!.showModal(), [])
  return (
    <dialog ref={box} aria-labelledby={id} onClose={onClose}>
      <h2 id={id}>{title}</h2>
      {children}
    </dialog>
  )
}

interface Toast {
  text: string
  tone: 'plain' | 'bad'
}

const toasts = createStore<Toast[]>([])
const TOAST_MILLISECONDS = 5000

/** Tell the outcome of the user's own action; an error stays until it is dismissed. */
export function toast(text: string, tone: Toast['tone'] = 'plain'): void {
  const one = { text, tone }
  toasts.set([...toasts.get().slice(-2), one])
  if (tone === 'plain') setTimeout(() => dismiss(one), TOAST_MILLISECONDS)
}

function dismiss(one: Toast): void {
  toasts.set(toasts.get().filter((other) => other !== one))
}

export function Toasts() {
  return (
    <div class="toasts" role="status">
      {useStore(toasts).map((one) => (
        <div class={`toast ${one.tone}`}>
          <span>{one.text}</span>
          <button type="button" class="icon-button" aria-label="Dismiss" onClick={() => dismiss(one)}>
            <Icon name="cross" />
          </button>
        </div>
      ))}
    </div>
  )
}

/** What a section shows when what it asked for was refused: the reason, and a way to ask again. */
export function Failure({ error, again }: { error: unknown; again?: () => void }) {
  return (
    <p class="refusal">
      {told(error)} {again && <button type="button" class="link" onClick={again}>Try again</button>}
    </p>
  )
}
