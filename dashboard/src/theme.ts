// System, light or dark: kept in localStorage, shown by data-theme on <html>.
import { createStore } from './store'

export type Theme = 'system' | 'light' | 'dark'

const KEY = 'descend.theme'
const ORDER: Theme[] = ['system', 'light', 'dark']
const dark = matchMedia('(prefers-color-scheme: dark)')

export const theme = createStore<Theme>(kept())
// Counts the changes of what is shown: charts, which draw with the colours' values, redraw then.
export const shades = createStore(0)

function kept(): Theme {
  const word = read()
  return ORDER.includes(word as Theme) ? (word as Theme) : 'system'
}

function read(): string | null {
  try {
    return localStorage.getItem(KEY)
  } catch {
    return null // storage is blocked: the theme lasts as long as the page
  }
}

export function chooseTheme(next: Theme): void {
  theme.set(next)
  try {
    localStorage.setItem(KEY, next)
  } catch {
    // as above
  }
  show()
}

export function nextTheme(): Theme {
  return ORDER[(ORDER.indexOf(theme.get()) + 1) % ORDER.length]!
}

export function isDark(): boolean {
  return theme.get() === 'dark' || (theme.get() === 'system' && dark.matches)
}

export function show(): void {
  document.documentElement.dataset.theme = isDark() ? 'dark' : 'light'
  shades.set(shades.get() + 1)
}

/** Read a colour token, as the canvas needs it. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim()
}

dark.addEventListener('change', show)
