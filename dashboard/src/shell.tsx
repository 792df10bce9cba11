// What every page stands in: navigation, connection, theme, help, the key, toasts.
import { useEffect, useRef, useState } from 'preact/hooks'
import { connection, get, keyQuestion } from './api'
import type { Connection } from './api'
import { Dialog, Icon, Toasts } from './controls'
import { clock } from './format'
import { allowShortcuts, shortcuts, useKeys } from './keys'
import logo from './logo.svg'
import { isPage, load, loaded, preload } from './pages'
import { useResource } from './resource'
import { go, href, useRoute } from './router'
import type { PageProps } from './router'
import { useStore } from './store'
import { DropAnywhere } from './upload'
import { chooseTheme, nextTheme, theme } from './theme'

const PLACES = [
  ['jobs', 'Jobs', 'g j', ['jobs', 'job', 'new', 'model']],
  ['data', 'Data', 'g d', ['data']],
  ['compare', 'Compare', 'g c', ['compare']],
  ['learn', 'Learn', 'g l', ['learn']],
] as const

export function Shell() {
  const [help, setHelp] = useState(false)
  useKeys({
    '?': () => setHelp(true),
    n: () => go('#/new'),
    ...Object.fromEntries(PLACES.map(([path, , keys]) => [keys, () => go(`#/${path}`)])),
  })
  return (
    <>
      <a class="skip" href="#main" onClick={skip}>
        Skip to content
      </a>
      <Header onHelp={() => setHelp(true)} />
      <Page />
      <Toasts />
      <DropAnywhere />
      <KeyQuestion />
      {help && <Help onClose={() => setHelp(false)} />}
    </>
  )
}

function skip(event: Event): void {
  event.preventDefault() // the hash is the route
  document.querySelector('main')?.focus()
}

function Header({ onHelp }: { onHelp: () => void }) {
  const { page } = useRoute()
  return (
    <header class="bar">
      <a class="brand" href="#/" aria-label="Descend">
        <img src={logo} alt="" width="24" height="24" />
        <span>Descend</span>
      </a>
      <nav aria-label="Pages">
        {PLACES.map(([path, name, , pages]) => (
          <a href={href(path)} aria-current={(pages as readonly string[]).includes(page) ? 'page' : undefined}>
            {name}
          </a>
        ))}
      </nav>
      <div class="bar-end">
        <ConnectionState />
        <button type="button" class="icon-button help" aria-label="Help and keys" onClick={onHelp}>
          ?
        </button>
        <ThemeButton />
      </div>
    </header>
  )
}

function ThemeButton() {
  const now = useStore(theme)
  const icon = { system: 'system', light: 'sun', dark: 'moon' }[now]
  return (
    <button
      type="button"
      class="icon-button"
      aria-label={`Theme: ${now}. Change to ${nextTheme()}`}
      title={`Theme: ${now}`}
      onClick={() => chooseTheme(nextTheme())}
    >
      <Icon name={icon} />
    </button>
  )
}

const READY_MILLISECONDS = 5000

function ConnectionState() {
  const now = useStore(connection)
  const [, tick] = useState(0)
  useEffect(() => {
    if (now.state === 'live' || now.state === 'polling') return
    const timer = setInterval(() => tick((n) => n + 1), 1000)
    const asking = now.state === 'offline' ? setInterval(askReady, READY_MILLISECONDS) : undefined
    return () => [timer, asking].forEach(clearInterval)
  }, [now])
  const words = inWords(now)
  return (
    <span class={`connection ${now.state}`} role="status" title={words}>
      <span class="dot" />
      <span class="word">{words}</span>
    </span>
  )
}

/** A request that is answered sets the connection to live by itself. */
function askReady(): void {
  get('readyz').catch(() => undefined)
}

function inWords(now: Connection): string {
  switch (now.state) {
    case 'live':
      return 'Live'
    case 'polling':
      return 'Live, asking every 5 s'
    case 'reconnecting':
      return `Reconnecting in ${Math.max(1, Math.ceil((now.until - Date.now()) / 1000))} s`
    case 'offline':
      return `Offline, showing what was there at ${clock(new Date(now.since).toISOString())}`
    case 'degraded':
      return now.why
  }
}

function Page() {
  const route = useRoute()
  const main = useRef<HTMLElement>(null)
  useEffect(() => {
    main.current?.focus({ preventScroll: true })
    scrollTo(0, 0)
  }, [route.page, route.id])
  return (
    <main ref={main} id="main" tabIndex={-1}>
      {isPage(route.page) ? <Loaded key={route.page + route.id} route={route} /> : <NoSuchPage />}
    </main>
  )
}

/** A page is a script of its own; the others are fetched once the first is shown. */
function Loaded({ route }: PageProps) {
  const here = loaded(route.page)
  const page = useResource(here ? null : () => load(route.page), [route.page])
  const View = here ?? page.value
  useEffect(() => {
    if (View) preload()
  }, [View])
  if (View) return <View route={route} />
  return page.error ? <NotLoaded /> : <p class="muted" role="status">Loading…</p>
}

/** Only what the server has replaced since, or a server that is away, is not loaded. */
function NotLoaded() {
  return (
    <>
      <h1>This page did not load</h1>
      <p>
        The server is away, or has a newer version of it.{' '}
        <button type="button" class="button" onClick={() => location.reload()}>
          Load again
        </button>
      </p>
    </>
  )
}

function NoSuchPage() {
  return (
    <>
      <h1>No such page</h1>
      <p>
        This address leads nowhere. <a href="#/">Go to the jobs</a>
      </p>
    </>
  )
}

function KeyQuestion() {
  const question = useStore(keyQuestion)
  const [key, setKey] = useState('')
  if (!question) return null
  const answer = (event: Event) => {
    event.preventDefault()
    if (key.trim()) question.answer(key.trim())
  }
  return (
    <Dialog title="This server needs a key" onClose={() => undefined}>
      <form class="stack" onSubmit={answer}>
        <label class="field">
          <span>API key</span>
          <input
            type="password"
            autocomplete="off"
            placeholder="dsc_…"
            value={key}
            onInput={(event) => setKey(event.currentTarget.value)}
          />
        </label>
        <p class="small">It stays in this tab until the tab is closed, and is never part of an address.</p>
        <p class="row end">
          <button class="button primary" type="submit">
            Use this key
          </button>
        </p>
      </form>
    </Dialog>
  )
}

const HELP = [
  ['g j · g d · g c · g l', 'Jobs, Data, Compare, Learn'],
  ['n', 'New job'],
  ['/', 'Search'],
  ['↑ ↓ · Enter · x · c', 'In tables: row, open, select, compare'],
  ['l · s', 'On a job: axis, smoothing'],
  ['Shift + C', 'On a job: copy as curl'],
  ['← → · Home · End', 'In a chart: read the points'],
  ['+ − · Esc', 'In a chart: zoom, and back'],
] as const

function Help({ onClose }: { onClose: () => void }) {
  const on = useStore(shortcuts)
  return (
    <Dialog title="Keys" onClose={onClose}>
      <dl class="keys">
        {HELP.map(([keys, what]) => (
          <div>
            <dt>{keys.split(' · ').map((key) => <kbd>{key}</kbd>)}</dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <label class="check">
        <input type="checkbox" checked={on} onChange={() => allowShortcuts(!on)} /> Single keys are shortcuts
      </label>
      <form method="dialog" class="row end">
        <button class="button">Close</button>
      </form>
    </Dialog>
  )
}
