// The service, from here: every request of the page goes through `request`.
import type { Fault } from './reading'
import { createStore } from './store'

export interface Problem {
  status: number
  code: string
  title: string
  detail: string
  param?: string | null
  request_id?: string
  errors?: Fault[]
}

export class ApiError extends Error {
  constructor(
    readonly problem: Problem,
    readonly retryAfter = 0,
  ) {
    super(problem.detail || problem.title)
  }
  get status(): number {
    return this.problem.status
  }
}

export type Connection =
  | { state: 'live' }
  | { state: 'reconnecting'; until: number }
  | { state: 'offline'; since: number }
  | { state: 'polling' }
  | { state: 'degraded'; why: string }

export const connection = createStore<Connection>({ state: 'live' })

// Asked for by the first 401; the dialog of the shell answers.
export const keyQuestion = createStore<{ answer: (key: string) => void } | null>(null)

const KEY = 'descend.key'
let key = sessionStorage.getItem(KEY) ?? ''
let asking: Promise<void> | null = null

/** Addresses are relative to the page, which may be served below a proxy's prefix. */
export function urlOf(path: string): string {
  return new URL(path.replace(/^\//, ''), document.baseURI.replace(/[?#].*/, '')).toString()
}

export function authorization(): Record<string, string> {
  return key ? { authorization: `Bearer ${key}` } : {}
}

export function hasKey(): boolean {
  return key !== ''
}

export interface Options {
  method?: string
  body?: BodyInit
  headers?: Record<string, string>
  signal?: AbortSignal
}

/** Fetch, with the key; raise ApiError where the answer is a problem. */
export async function request(path: string, options: Options = {}): Promise<Response> {
  let response: Response
  try {
    response = await fetch(urlOf(path), {
      ...options,
      headers: { accept: 'application/json', ...options.headers, ...authorization() },
      credentials: 'omit',
    })
  } catch (error) {
    if (!options.signal?.aborted) lost()
    throw error
  }
  if (connection.get().state === 'offline') connection.set({ state: 'live' })
  if (response.status === 401) {
    await askKey()
    return request(path, options)
  }
  if (!response.ok) throw await refusal(response)
  return response
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await request(path, { signal })).json() as Promise<T>
}

export async function send<T>(
  method: string,
  path: string,
  body?: unknown,
  { headers = {}, signal }: { headers?: Record<string, string>; signal?: AbortSignal } = {},
): Promise<T> {
  const content: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' }
  const response = await request(path, {
    method,
    body: body === undefined ? undefined : JSON.stringify(body),
    headers: { ...content, ...headers },
    signal,
  })
  return (response.status === 204 ? undefined : response.json()) as Promise<T>
}

export const post = <T>(path: string, body?: unknown, headers?: Record<string, string>) =>
  send<T>('POST', path, body, { headers })

const kept = new Map<string, Promise<unknown>>()

/** Get what can never change: a model, an ended job's history. */
export function getOnce<T>(path: string): Promise<T> {
  const earlier = kept.get(path)
  if (earlier) return earlier as Promise<T>
  const asked = get<T>(path)
  kept.set(path, asked)
  asked.catch(() => kept.delete(path))
  return asked
}

/** Wait for the answer of a plan, gradients or diagnostics: 202 names the job that will hold it. */
export async function answered<T>(path: string, body?: unknown, signal?: AbortSignal, onQueued?: (queued: boolean) => void): Promise<T> {
  for (;;) {
    const response =
      body === undefined
        ? await request(path, { signal })
        : await request(path, {
            method: 'POST',
            body: JSON.stringify(body),
            headers: { 'content-type': 'application/json', 'idempotency-key': await keyOf(body) },
            signal,
          })
    if (response.status !== 202) return response.json() as Promise<T>
    if (onQueued) onQueued(((await response.json()) as { state: string }).state === 'queued')
    const seconds = Number(response.headers.get('retry-after')) // the server had no room for one more that waits
    if (seconds > 0) await new Promise((resume) => setTimeout(resume, seconds * 1000))
  }
}

/** The same question asked twice is one job: its key is its content. */
async function keyOf(body: unknown): Promise<string> {
  const text = new TextEncoder().encode(JSON.stringify(body))
  if (!crypto.subtle) return crypto.randomUUID() // not on a plain-http address of another machine
  const digest = await crypto.subtle.digest('SHA-256', text)
  return `page-${[...new Uint8Array(digest)].map((b) => b.toString(16).padStart(2, '0')).join('')}`
}

export function newKey(): string {
  const numbers = crypto.getRandomValues(new Uint32Array(4))
  return `page-${[...numbers].map((one) => one.toString(16)).join('')}`
}

/** Say in a sentence what went wrong. */
export function told(error: unknown): string {
  if (error instanceof ApiError) {
    const { status, problem } = error
    if (status === 403) return `This key is not enough: ${problem.detail}`
    if (status === 507) return 'The server’s disk is full; nothing was stored.'
    return problem.detail || problem.title
  }
  return 'The server did not answer.'
}

async function refusal(response: Response): Promise<ApiError> {
  const after = Number(response.headers.get('retry-after') ?? 0)
  try {
    return new ApiError((await response.json()) as Problem, after)
  } catch {
    const { status, statusText } = response
    return new ApiError({ status, code: 'unknown', title: statusText, detail: statusText }, after)
  }
}

function lost(): void {
  if (connection.get().state !== 'offline') connection.set({ state: 'offline', since: Date.now() })
}

function askKey(): Promise<void> {
  asking ??= new Promise<void>((done) => {
    const answer = (given: string) => {
      key = given
      sessionStorage.setItem(KEY, given)
      keyQuestion.set(null)
      asking = null
      done()
    }
    keyQuestion.set({ answer })
  })
  return asking
}
