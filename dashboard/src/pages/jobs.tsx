import type { PageProps } from '../router'
export default function Jobs(_: PageProps) {
  return <h1>Jobs</h1>
}
