// Addresses are #/page/id/tab?query: no server fallback, and the URL is the state of the view.
import type { ComponentType } from 'preact'
import { createStore, useStore } from './store'

export interface Route {
  page: string
  id: string
  tab: string
  query: URLSearchParams
}

export interface PageProps {
  route: Route
}

interface PageModule {
  default: ComponentType<PageProps>
}

// A page is one line here and one file in pages/.
const PAGES: Record<string, () => Promise<PageModule>> = {
  jobs: () => import('./pages/jobs'),
  job: () => import('./pages/job'),
  learn: () => import('./pages/learn'),
  new: () => import('./pages/new'),
  data: () => import('./pages/data'),
  compare: () => import('./pages/compare'),
  model: () => import('./pages/model'),
}

export const route = createStore<Route>(parse(location.hash))

export function useRoute(): Route {
  return useStore(route)
}

export function parse(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split(/\?(.*)/s)
  const [first = '', id = '', tab = ''] = path.split('/').map(decodeURIComponent)
  return { page: named(first, id), id, tab, query: new URLSearchParams(query) }
}

function named(first: string, id: string): string {
  if (first === '' || first === 'jobs') return id ? 'job' : 'jobs'
  if (first === 'models') return 'model'
  return first
}

export function isPage(name: string): boolean {
  return name in PAGES
}

export function load(name: string): Promise<PageModule> {
  return PAGES[name]!()
}

/** Write the address of a page. */
export function href(path: string, query?: Record<string, string | string[] | undefined>): string {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query ?? {}))
    for (const one of [value].flat()) if (one) search.append(name, one)
  const text = search.toString()
  return `#/${path}${text ? `?${text}` : ''}`
}

export function go(address: string): void {
  location.hash = address
}

/** Change the query of the present address, leaving no step in the browser's history. */
export function setQuery(changes: Record<string, string | undefined>): void {
  const [path, before = ''] = location.hash.split(/\?(.*)/s)
  const query = new URLSearchParams(before)
  for (const [name, value] of Object.entries(changes))
    if (value) query.set(name, value)
    else query.delete(name)
  const text = query.toString()
  history.replaceState(history.state, '', `${path || '#/'}${text ? `?${text}` : ''}`)
  route.set(parse(location.hash))
}

addEventListener('hashchange', () => route.set(parse(location.hash)))
