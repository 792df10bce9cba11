// What a component shows of the service: asked when it appears, again on demand.
import { useCallback, useEffect, useRef, useState } from 'preact/hooks'

export interface Resource<T> {
  value: T | undefined
  error: unknown
  /** Whether an answer is awaited; an earlier value is shown until then. */
  busy: boolean
  reload: () => void
}

/**
 * Ask whenever `keys` change; `ask` null asks nothing. The answer to an earlier question never
 * overwrites that to a later one.
 */
export function useResource<T>(
  ask: ((signal: AbortSignal) => Promise<T>) | null,
  keys: readonly unknown[],
): Resource<T> {
  const [state, setState] = useState<{ value?: T; error?: unknown; busy: boolean }>({ busy: !!ask })
  const [turn, setTurn] = useState(0)
  const latest = useRef(ask)
  latest.current = ask
  useEffect(() => {
    const asked = latest.current
    if (!asked) {
      setState({ busy: false })
      return
    }
    const abort = new AbortController()
    setState((before) => ({ value: before.value, busy: true }))
    asked(abort.signal).then(
      (value) => abort.signal.aborted || setState({ value, busy: false }),
      (error: unknown) =>
        abort.signal.aborted || setState((before) => ({ value: before.value, error, busy: false })),
    )
    return () => abort.abort()
  }, [...keys, turn])
  const reload = useCallback(() => setTurn((n) => n + 1), [])
  return { value: state.value, error: state.error, busy: state.busy, reload }
}
