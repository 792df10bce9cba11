// Single-key shortcuts: off in fields, and can be turned off for good (WCAG 2.1.4).
import { useEffect } from 'preact/hooks'
import { createStore } from './store'

const KEY = 'descend.keys'

export const shortcuts = createStore(localStorage.getItem(KEY) !== 'off')

export function allowShortcuts(on: boolean): void {
  shortcuts.set(on)
  localStorage.setItem(KEY, on ? 'on' : 'off')
}

type Bindings = Record<string, () => void>

let before = '' // the first key of a pair such as g j

/** Bind keys while a component is shown: 'n', '?', 'g j', 'Shift+C'. */
export function useKeys(bindings: Bindings): void {
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (!applies(event)) return
      const name = nameOf(event)
      const bound = bindings[`${before} ${name}`] ?? bindings[name]
      if (!bound) return
      event.preventDefault()
      bound()
    }
    addEventListener('keydown', pressed)
    return () => removeEventListener('keydown', pressed)
  })
}

addEventListener('keyup', (event) => {
  before = applies(event) && event.key === 'g' ? 'g' : ''
})

function nameOf(event: KeyboardEvent): string {
  return event.shiftKey && /^[a-z]$/i.test(event.key) ? `Shift+${event.key.toUpperCase()}` : event.key
}

function applies(event: KeyboardEvent): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey) return false
  if (document.querySelector('dialog[open]')) return false
  if (event.key === 'Escape') return true
  return shortcuts.get() && !isField(event.target)
}

function isField(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false
  if (target instanceof HTMLInputElement) return !['checkbox', 'radio', 'range'].includes(target.type)
  return target.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target.tagName)
}
