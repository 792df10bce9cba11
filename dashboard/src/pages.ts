// The pages by the first word of their address. All are in one script: in parts they compress worse,
// and the sum of what is built has a limit.
import type { ComponentType } from 'preact'
import Compare from './pages/compare'
import Data from './pages/data'
import Job from './pages/job'
import Jobs from './pages/jobs'
import Learn from './pages/learn'
import Model from './pages/model'
import NewJob from './pages/new'
import type { PageProps } from './router'

export const PAGES: Record<string, ComponentType<PageProps>> = {
  jobs: Jobs, job: Job, new: NewJob, data: Data, compare: Compare, model: Model, learn: Learn,
}
