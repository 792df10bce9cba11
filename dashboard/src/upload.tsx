// Uploading a file: dropped anywhere on the page or chosen; with progress, and a way to stop it.
import { useEffect, useState } from 'preact/hooks'
import { ApiError, authorization, urlOf } from './api'
import type { Problem } from './api'
import { ACCEPTED, typeOf } from './files'
import type { Options } from './reading'
import { createStore } from './store'
import { go } from './router'
import type { Dataset } from './wire'

export interface Uploading {
  done: Promise<Dataset>
  cancel: () => void
}

/** Send a file by XMLHttpRequest, for fetch tells no progress. */
export function upload(file: File, options: Options, onProgress: (part: number) => void): Uploading {
  const found = typeOf(file.name)
  if ('refused' in found) return { done: Promise.reject(new Error(found.refused)), cancel: () => undefined }
  const ask = new XMLHttpRequest()
  const query = new URLSearchParams({ name: file.name })
  for (const [name, values] of Object.entries(options)) for (const value of values) query.append(name, value)
  const done = new Promise<Dataset>((resolve, reject) => {
    ask.open('POST', urlOf(`v1/datasets?${query}`))
    ask.setRequestHeader('content-type', found.type)
    if (found.packed) ask.setRequestHeader('content-encoding', found.packed)
    for (const [name, value] of Object.entries(authorization())) ask.setRequestHeader(name, value)
    ask.upload.onprogress = (event) => onProgress(event.total ? event.loaded / event.total : 0)
    ask.onload = () => (ask.status === 201 ? resolve(JSON.parse(ask.responseText) as Dataset) : reject(refusal(ask)))
    ask.onerror = () => reject(new Error('The connection was lost; nothing was stored.'))
    ask.onabort = () => reject(new Error(CANCELLED))
    ask.send(file)
  })
  return { done, cancel: () => ask.abort() }
}

export const CANCELLED = 'Cancelled; nothing was stored.'

function refusal(ask: XMLHttpRequest): Error {
  try {
    return new ApiError(JSON.parse(ask.responseText) as Problem)
  } catch {
    return new Error(`The server answered ${ask.status}.`)
  }
}

// A file that was dropped and that the page of a new job has not taken yet.
export const dropped = createStore<File | null>(null)

export function take(file: File | null | undefined): void {
  if (!file) return
  dropped.set(file)
  if (!location.hash.startsWith('#/new')) go('#/new')
}

/** The whole window takes files. */
export function DropAnywhere() {
  const [over, setOver] = useState(false)
  useEffect(() => {
    let depth = 0 // enter and leave are told of every element that is crossed
    const files = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false
    const on: Record<string, (event: DragEvent) => void> = {
      dragenter: (event) => files(event) && (event.preventDefault(), depth++, setOver(true)),
      dragover: (event) => files(event) && event.preventDefault(),
      dragleave: (event) => files(event) && --depth <= 0 && ((depth = 0), setOver(false)),
      drop: (event) => {
        if (!files(event)) return
        event.preventDefault()
        depth = 0
        setOver(false)
        take(event.dataTransfer!.files[0])
      },
    }
    for (const [name, listener] of Object.entries(on)) addEventListener(name, listener as EventListener)
    return () => {
      for (const [name, listener] of Object.entries(on)) removeEventListener(name, listener as EventListener)
    }
  }, [])
  return over ? <div class="drop-over"><p>Drop to upload</p></div> : null
}

/** A button that asks for a file. */
export function FileButton({ children, primary }: { children: string; primary?: boolean }) {
  return (
    <label class={`button file ${primary ? 'primary' : ''}`}>
      <input class="unseen" type="file" accept={ACCEPTED} onChange={(event) => (take(event.currentTarget.files?.[0]), (event.currentTarget.value = ''))} />
      {children}
    </label>
  )
}
