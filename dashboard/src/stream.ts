// Event streams by fetch: with the key, resumed by id, closed while nobody looks.
import { authorization, connection, get, urlOf } from './api'
import { eventReader } from './sse'

export interface Message {
  id: string | null
  type: string
  job_id: string
  at: string
  data: unknown
}

interface EventPage {
  data: Message[]
  has_more: boolean
  last_id: string | null
  ended: boolean
}

interface Follower {
  /** What came, in order, each once. */
  onMessages: (messages: Message[]) => void
  /** Nothing more will come. */
  onEnd: () => void
}

const BACKOFF_SECONDS = [0.5, 1, 2, 4, 8]
const POLL_AFTER = 3 // failures
const POLL_SECONDS = 5
const HIDDEN_SECONDS = 10

/** Follow a log until it ends; returns how to stop. `path` may have a query. */
export function follow(path: string, follower: Follower): () => void {
  const one = new Following(path, follower)
  return () => one.stop()
}

class Following {
  private lastId: string | null = null
  private failures = 0
  private stopped = false
  private paused = false
  private running = false
  private abort = new AbortController()
  private waiting: Message[] = []
  private frame = 0
  private timer = 0

  constructor(private path: string, private follower: Follower) {
    document.addEventListener('visibilitychange', this.looked)
    void this.run()
  }

  stop(): void {
    this.stopped = true
    this.abort.abort()
    cancelAnimationFrame(this.frame)
    clearTimeout(this.timer)
    document.removeEventListener('visibilitychange', this.looked)
    if (connection.get().state === 'reconnecting' || connection.get().state === 'polling')
      connection.set({ state: 'live' })
  }

  private async run(): Promise<void> {
    if (this.running) return
    this.running = true
    await this.turns()
    this.running = false
  }

  private async turns(): Promise<void> {
    while (!this.stopped && !this.paused) {
      try {
        const ended = this.failures >= POLL_AFTER ? await this.poll() : await this.read()
        if (ended) return this.end()
        this.failures = this.failures >= POLL_AFTER ? this.failures : 0
      } catch {
        if (this.stopped || this.paused) return
        await this.back()
      }
    }
  }

  /** Read one connection to its end; true where the log itself has ended. */
  private async read(): Promise<boolean> {
    this.abort = new AbortController()
    const response = await fetch(urlOf(this.path), {
      signal: this.abort.signal,
      credentials: 'omit',
      headers: {
        accept: 'text/event-stream',
        ...authorization(),
        ...(this.lastId === null ? {} : { 'last-event-id': this.lastId }),
      },
    })
    if (response.status === 204) return true
    if (!response.ok || !response.body) throw new Error(`status ${response.status}`)
    connection.set({ state: 'live' })
    let ended = false
    const feed = eventReader((data) => {
      ended = this.take(JSON.parse(data) as Message) || ended
    })
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return ended
      this.failures = 0
      feed(value)
    }
  }

  private async poll(): Promise<boolean> {
    const since = this.lastId === null ? '' : `last_event_id=${encodeURIComponent(this.lastId)}`
    const page = await get<EventPage>(`${this.path}${this.path.includes('?') ? '&' : '?'}${since}`)
    connection.set({ state: 'polling' })
    for (const message of page.data) this.take(message)
    this.lastId = page.last_id ?? this.lastId
    if (page.ended) return true
    if (!page.has_more) await this.sleep(POLL_SECONDS)
    return false
  }

  /** Keep a message for the next frame; true where it is the log's last. */
  private take(message: Message): boolean {
    if (message.id !== null) this.lastId = message.id
    this.waiting.push(message)
    // A hidden tab has no frames.
    if (document.hidden) this.deliver()
    else this.frame ||= requestAnimationFrame(() => this.deliver())
    return message.type === 'state' && isTerminal((message.data as { state: string }).state)
  }

  private deliver(): void {
    this.frame = 0
    const messages = this.waiting
    this.waiting = []
    if (messages.length && !this.stopped) this.follower.onMessages(messages)
  }

  private end(): void {
    cancelAnimationFrame(this.frame)
    this.deliver()
    this.follower.onEnd()
    this.stop()
  }

  private async back(): Promise<void> {
    const most = BACKOFF_SECONDS[Math.min(this.failures, BACKOFF_SECONDS.length - 1)]!
    this.failures++
    const seconds = most * (0.75 + Math.random() / 2)
    connection.set({ state: 'reconnecting', until: Date.now() + seconds * 1000 })
    await this.sleep(seconds)
  }

  private sleep(seconds: number): Promise<void> {
    return new Promise((wake) => {
      this.timer = window.setTimeout(wake, seconds * 1000)
    })
  }

  private hiding = 0

  private looked = (): void => {
    clearTimeout(this.hiding)
    if (document.hidden) {
      this.hiding = window.setTimeout(() => {
        this.paused = true
        this.abort.abort()
      }, HIDDEN_SECONDS * 1000)
    } else if (this.paused) {
      this.paused = false
      void this.run()
    }
  }
}

const TERMINAL = new Set(['succeeded', 'failed', 'cancelled', 'expired', 'quarantined'])

export function isTerminal(state: string): boolean {
  return TERMINAL.has(state)
}
