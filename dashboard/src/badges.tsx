// How a job stands, as icon and word; the same in tables and titles.
import { Badge } from './controls'
import type { Tone } from './controls'
import type { Job } from './wire'

interface Look {
  tone: Tone
  icon: string
  word: string
  sign: string
}

export function lookOf(job: Job): Look {
  if (job.intent === 'cancel' && job.state === 'running') return { tone: 'quiet', icon: 'ring', word: 'Cancelling', sign: '▶' }
  switch (job.state) {
    case 'queued':
      return { tone: 'quiet', icon: 'clock', word: 'Queued', sign: '◷' }
    case 'running':
      return { tone: 'running', icon: 'ring', word: 'Running', sign: '▶' }
    case 'paused':
      return { tone: 'quiet', icon: 'stop', word: 'Paused', sign: '‖' }
    case 'succeeded':
      return { tone: 'good', icon: 'check', word: 'Succeeded', sign: '✓' }
    case 'cancelled':
      return { tone: 'quiet', icon: 'stop', word: 'Cancelled', sign: '◻' }
    case 'failed':
      return { tone: 'bad', icon: 'cross', word: job.error?.code === 'diverged' ? 'Diverged' : 'Failed', sign: '✗' }
    case 'expired':
      return { tone: 'bad', icon: 'clock', word: 'Expired', sign: '✗' }
    case 'quarantined':
      return { tone: 'bad', icon: 'cross', word: 'Quarantined', sign: '✗' }
  }
}

export function StateBadge({ job }: { job: Job }) {
  const { tone, icon, word } = lookOf(job)
  return <Badge tone={tone} icon={icon}>{word}</Badge>
}
