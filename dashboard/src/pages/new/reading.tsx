// A file that was not taken as it is: what stands in the way, what would read it, and every option there is.
import { useState } from 'preact/hooks'
import { ApiError, told } from '../../api'
import { Button, Icon } from '../../controls'
import { asked, likeliest, said, typed, withOptions } from '../../reading'
import type { Fault, Options } from '../../reading'
import { CANCELLED, FileButton } from '../../upload'
import type { Sent } from './data'

export function Refused({ sent }: { sent: Sent }) {
  const { error } = sent
  const refused = error instanceof ApiError
  const faults = refused ? (error.problem.errors ?? []).filter((one) => one.options?.length) : []
  const text = refused ? told(error) : (error as Error).message
  return (
    <>
      {faults.length > 0 ? <Faults sent={sent} faults={faults} /> : (
        <>
          <p class={text === CANCELLED ? 'refusal' : 'note bad'}>{text !== CANCELLED && <Icon name="warning" />}<span>{sent.file!.name}: {text}</span></p>
          <p class="row"><FileButton primary>Choose another file</FileButton></p>
        </>
      )}
      {refused && /\.(csv|tsv|txt)(\.gz|\.zst)?$/i.test(sent.file!.name) && <Reading sent={sent} open={!faults.some(likeliest)} />}
    </>
  )
}

/** Every column that stands in the way, with the ways to read it; one click sends the file again. */
function Faults({ sent, faults }: { sent: Sent; faults: Fault[] }) {
  const [chosen, setChosen] = useState(() => faults.map(likeliest))
  const choose = (place: number, way: Options) => setChosen(chosen.map((one, i) => (i === place ? way : one)))
  const ways = chosen.filter((one) => one !== null)
  return (
    <>
      <p class="note"><Icon name="warning" /><span>{sent.file!.name} is not stored yet: {faults.length === 1 ? 'say how this is to be read' : 'say how these are to be read'}.</span></p>
      {faults.map((fault, place) => (
        <fieldset class="fault">
          <legend>{upper(fault.message)}.</legend>
          {fault.options!.map((way) => (
            <label class="check"><input type="radio" name={`fault-${place}`} checked={chosen[place] === way} onChange={() => choose(place, way)} /> {said(way, fault.column)}</label>
          ))}
        </fieldset>
      ))}
      <p class="row"><Button tone="primary" disabled={!ways.length} onClick={() => sent.again(withOptions(sent.options, ways))}>Read it so</Button><FileButton>Choose another file</FileButton></p>
    </>
  )
}

const upper = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)

const FIELDS: [name: string, placeholder: string][] = [
  ['delimiter', 'as its rows agree'], ['decimal', '.'], ['thousands', 'none'], ['strip', 'nothing'], ['dates', 'days, year, month, weekday'],
  ['header', 'present, or absent'], ['skip_rows', '0'], ['comment', 'none'], ['encoding', 'utf-8'], ['null_values', 'NA, null, …'],
  ['text', 'columns kept as text'],
]

/** How the file is written, where the server did not find out by itself. */
export function Reading({ sent, open = false }: { sent: Sent; open?: boolean }) {
  const [texts, setTexts] = useState(() => typed(sent.options))
  return (
    <details open={open || Object.keys(sent.options).length > 0} class="csv">
      <summary>How the file is written</summary>
      <div class="fields">
        {FIELDS.map(([name, placeholder]) => (
          <label class="field"><span>{name}</span>
            {(texts[name] ?? '').includes('\n')
              ? <textarea rows={2} value={texts[name]} onInput={(event) => setTexts({ ...texts, [name]: event.currentTarget.value })} />
              : <input placeholder={placeholder} value={texts[name] ?? ''} onInput={(event) => setTexts({ ...texts, [name]: event.currentTarget.value })} />}
          </label>
        ))}
      </div>
      <p class="small">A value is for all columns; <code>price:$</code> is for the column <code>price</code> alone.</p>
      <Button disabled={JSON.stringify(asked(texts)) === JSON.stringify(sent.options)} onClick={() => sent.again(asked(texts))}>Read it again</Button>
    </details>
  )
}
