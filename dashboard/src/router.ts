// Addresses are #/page/id/tab?query: no server fallback, and the URL is the state of the view.
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
