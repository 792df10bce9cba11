// One job, kept up to date: its row, its curve, by one stream that all sections of a page share.
import { useEffect, useState } from 'preact/hooks'
import { get, getOnce } from './api'
import { Curve } from './curve'
import type { Points } from './curve'
import { follow, isTerminal } from './stream'
import type { Message } from './stream'
import type { History, Job } from './wire'

export const MAX_POINTS = 1000
const REFETCH_AFTER = 2000 // points, above which the whole is sampled anew

export interface Live {
  job: Job | null
  curve: Curve
  /** Changes with every frame that has something new. */
  version: number
  error: unknown
  reload: () => void
}

type Standing = Pick<Job, 'state' | 'intent' | 'attempt' | 'progress' | 'queue_position' | 'estimated_finish'>

/** Follow a job while it runs; read it once where it has ended. */
export function useJob(id: string): Live {
  const [state, setState] = useState<Omit<Live, 'reload'>>({ job: null, curve: new Curve(), version: 0, error: null })
  const [turn, setTurn] = useState(0)
  useEffect(() => {
    const watch = new Watch(id, (change) => setState((before) => ({ ...before, ...change, version: before.version + 1 })))
    void watch.start()
    return () => watch.stop()
  }, [id, turn])
  return { ...state, reload: () => setTurn((n) => n + 1) }
}

class Watch {
  private job: Job | null = null
  private curve = new Curve()
  private stopped = false
  private sampling = false
  private unfollow: () => void = () => undefined

  constructor(private id: string, private tell: (change: Partial<Live>) => void) {}

  async start(): Promise<void> {
    try {
      this.job = await get<Job>(`v1/jobs/${this.id}`)
      this.curve = Curve.of(await this.history())
      if (this.stopped) return
      this.tell({ job: this.job, curve: this.curve, error: null })
      if (isTerminal(this.job.state)) return
      this.unfollow = follow(`v1/jobs/${this.id}/events?start=${this.curve.stop}`, {
        onMessages: (messages) => this.take(messages),
        onEnd: () => void this.end(),
      })
    } catch (error) {
      if (!this.stopped) this.tell({ error })
    }
  }

  stop(): void {
    this.stopped = true
    this.unfollow()
  }

  private history(): Promise<History> {
    const path = `v1/jobs/${this.id}/history?max_points=${MAX_POINTS}`
    return this.job && isTerminal(this.job.state) ? getOnce(path) : get(path)
  }

  private take(messages: Message[]): void {
    for (const { type, data } of messages) {
      if (type === 'history') this.curve.append(data as Points)
      if (type === 'progress') this.job = { ...this.job!, ...(data as Standing) }
      if (type === 'state') void this.again()
    }
    this.tell({ job: this.job, curve: this.curve })
    if (this.curve.length > REFETCH_AFTER) void this.sample()
  }

  /** A change of state changes much: the row is read again. */
  private async again(): Promise<void> {
    const job = await get<Job>(`v1/jobs/${this.id}`).catch(() => null)
    if (this.stopped || !job) return
    this.job = job
    this.tell({ job })
  }

  private async sample(): Promise<void> {
    if (this.sampling) return
    this.sampling = true
    const history = await this.history().catch(() => null)
    this.sampling = false
    if (this.stopped || !history) return
    this.curve = this.curve.replacedBy(history)
    this.tell({ curve: this.curve })
  }

  private async end(): Promise<void> {
    await this.again()
    await this.sample()
  }
}
