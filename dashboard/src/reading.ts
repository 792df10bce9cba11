// How a file is written: options of an upload, and the ones that a refusal names, in words. Pure.

/** Query parameters of an upload; one may be given several times. */
export type Options = Record<string, string[]>

/** A column, or the first lines, that could not be taken as they are; the likeliest way first. */
export interface Fault {
  param: string
  message: string
  column?: string | null
  options?: Options[]
}

// One value for the whole file; the others are added to what was asked before.
const SINGLE = new Set(['delimiter', 'encoding', 'comment', 'skip_rows', 'header', 'null_values'])

/** What is asked for already, and more. */
export function withOptions(before: Options, more: Options[]): Options {
  const all: Options = { ...before }
  for (const [name, values] of more.flatMap((one) => Object.entries(one)))
    all[name] = SINGLE.has(name) ? values : [...new Set([...kept(name, all[name] ?? [], values), ...values])]
  return all
}

/** What stays beside new values: a decimal sign for the whole file takes the place of the one before. */
function kept(name: string, before: string[], values: string[]): string[] {
  const ofAll = (value: string) => name === 'decimal' && value.length === 1
  return values.some(ofAll) ? before.filter((value) => !ofAll(value)) : before
}

/** The likeliest way to read a column, which is never to keep it as text: that is for a person to say. */
export const likeliest = (fault: Fault): Options | null => fault.options?.find((one) => !('text' in one)) ?? null

/** Say what a way to read a column does: Read it without “$”, with “,” between thousands. */
export function said(options: Options, column?: string | null): string {
  if ('text' in options) return 'Keep it as text'
  const words = Object.entries(options).flatMap(([name, values]) => values.map((value) => word(name, withoutColumn(value, column))))
  return `Read it ${words.join(', ')}`
}

const withoutColumn = (value: string, column?: string | null) =>
  column && value.startsWith(`${column}:`) ? value.slice(column.length + 1) : value

const DATES: Record<string, string> = { days: 'days since the first', year: 'years', month: 'months, 1 to 12', weekday: 'weekdays, 1 to 7' }

function word(name: string, value: string): string {
  const quoted = value === ' ' ? 'a space' : `“${value}”`
  if (name === 'thousands') return `with ${quoted} between thousands`
  if (name === 'strip') return value === '()' ? 'with (12) as −12' : value === '-' ? 'with 12- as −12' : `without ${quoted}`
  if (name === 'decimal') return `with ${quoted} as the decimal sign`
  if (name === 'dates') return `as ${DATES[value] ?? value}`
  if (name === 'header') return 'with its first line as a row'
  if (name === 'skip_rows') return `from line ${Number(value) + 1} on`
  if (name === 'comment') return `without lines that begin with ${quoted}`
  if (name === 'delimiter') return `with cells parted by ${value === '\t' ? 'tabs' : quoted}`
  if (name === 'encoding') return `as ${value}`
  return `with ${name} ${quoted}`
}

/** A form's texts: of options that may be repeated the values stand side by side, parted by blanks. */
export const typed = (options: Options): Record<string, string> =>
  Object.fromEntries(Object.entries(options).map(([name, values]) => [name, values.join(PARTED.has(name) ? '\n' : '')]))

const PARTED = new Set(['decimal', 'thousands', 'strip', 'dates', 'text'])

/** The options that a form's texts ask for; empty texts ask for nothing. */
export const asked = (texts: Record<string, string>): Options =>
  Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== '').map(([name, text]) => [name, PARTED.has(name) ? text.split('\n').filter(Boolean) : [text]]))
