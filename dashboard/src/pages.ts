// The pages by the first word of their address: a script each, loaded when it is first shown.
import type { ComponentType } from 'preact'
import type { PageProps } from './router'

export type View = ComponentType<PageProps>

const SCRIPTS: Record<string, () => Promise<{ default: View }>> = {
  jobs: () => import('./pages/jobs'),
  job: () => import('./pages/job'),
  new: () => import('./pages/new'),
  data: () => import('./pages/data'),
  compare: () => import('./pages/compare'),
  model: () => import('./pages/model'),
  learn: () => import('./pages/learn'),
}
const views = new Map<string, View>()

export const isPage = (name: string): boolean => name in SCRIPTS

/** The page, if its script is here already: shown at once, without a moment of nothing. */
export const loaded = (name: string): View | undefined => views.get(name)

export async function load(name: string): Promise<View> {
  const { default: view } = await SCRIPTS[name]!()
  views.set(name, view)
  return view
}

/** Fetch the other pages while the browser is idle: they open at once, and without the server. */
export function preload(): void {
  const all = () => Object.keys(SCRIPTS).forEach((name) => load(name).catch(() => undefined))
  if ('requestIdleCallback' in window) requestIdleCallback(all)
  else setTimeout(all, 1000)
}
