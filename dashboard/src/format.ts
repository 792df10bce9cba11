// How numbers, times and sizes are written. Pure: tested in node.

const MINUS = '−'
const THIN = ' ' // narrow, not breaking
const SUPERSCRIPTS = '⁰¹²³⁴⁵⁶⁷⁸⁹'
export const NONE = '–'

/** Write a number with so many significant digits: 8.861, 12 345, 3.2×10⁻⁵. */
export function number(value: number | null | undefined, digits = 4): string {
  if (value === null || value === undefined || Number.isNaN(value)) return NONE
  if (!Number.isFinite(value)) return value > 0 ? '∞' : `${MINUS}∞`
  if (value === 0) return '0'
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return integer(value)
  const size = Math.abs(Number(value.toPrecision(digits)))
  if (size < 1e-4 || size >= 1e6) return scientific(value, digits)
  if (size >= 10 ** digits) return integer(value) // its whole part has the digits already
  return sign(value) + grouped(size.toPrecision(digits))
}

/** A round number without the zeros that others end in: ticks, cells of a table. */
export function trimmed(value: number | null | undefined, digits = 3): string {
  return number(value, digits).replace(/(\.\d*?)0+(?!\d)/, '$1').replace(/\.(?!\d)/, '')
}

/** A learning rate or a limit of one: the same digits wherever it stands. */
export const rateText = (value: number | null | undefined): string => trimmed(value, 4)

export function integer(value: number | null | undefined): string {
  if (value === null || value === undefined) return NONE
  return sign(value) + grouped(String(Math.abs(Math.round(value))))
}

/** Write a part of one as percent, with at most three digits. */
export function percent(part: number | null | undefined): string {
  if (part === null || part === undefined || Number.isNaN(part)) return NONE
  const value = part * 100
  if (Math.abs(value) < 5e-5) return `0.0${THIN}%`
  if (Math.abs(value) < 0.01) return `${number(value, 1)}${THIN}%`
  if (Math.abs(value) >= 1000) return `${number(Number(value.toPrecision(3)), 3)}${THIN}%`
  return `${sign(value)}${Number(Math.abs(value).toPrecision(3))}${THIN}%`
}

export function pValue(p: number | null | undefined): string {
  if (p === null || p === undefined) return NONE
  return p < 0.001 ? `<${THIN}0.001` : p.toFixed(3)
}

/** Write 10 to a whole power. */
export function powerOfTen(exponent: number): string {
  if (exponent === 0) return '1'
  return `10${superscript(exponent)}`
}

export function superscript(whole: number): string {
  const digits = [...String(Math.abs(whole))].map((digit) => SUPERSCRIPTS[Number(digit)])
  return (whole < 0 ? '⁻' : '') + digits.join('')
}

/** Write how long something takes or took. */
export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return NONE
  if (seconds < 0.0995) return `${Math.max(1, Math.round(seconds * 1000))}${THIN}ms`
  if (seconds < 10) return `${seconds.toFixed(1)}${THIN}s`
  if (seconds < 100) return `${Math.round(seconds)}${THIN}s`
  const minutes = Math.round(seconds / 60)
  if (minutes < 100) return `${minutes}${THIN}min`
  return `${Math.floor(minutes / 60)}${THIN}h ${minutes % 60}${THIN}min`
}

export function bytes(size: number): string {
  if (size < 1000) return `${size}${THIN}B`
  const names = ['kB', 'MB', 'GB', 'TB']
  const place = Math.min(3, Math.floor(Math.log10(size) / 3) - 1)
  return `${Number((size / 1000 ** (place + 1)).toPrecision(3))}${THIN}${names[place]}`
}

/** Write the time of day, with the date where it is not today's. */
export function clock(iso: string | null | undefined, now = new Date()): string {
  if (!iso) return NONE
  const at = new Date(iso)
  const time = at.toLocaleTimeString('en-GB')
  return at.toDateString() === now.toDateString() ? time : `${day(at, now)}, ${time}`
}

/** Write when something was, in a table: just now, 14:02, 3 May. */
export function when(iso: string | null | undefined, now = new Date()): string {
  if (!iso) return NONE
  const at = new Date(iso)
  if (now.getTime() - at.getTime() < 60_000) return 'just now'
  const time = at.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' })
  return at.toDateString() === now.toDateString() ? time : day(at, now)
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${integer(count)} ${count === 1 ? one : many}`
}

/** job_01932f7c…a41e */
export function shortId(id: string): string {
  return id.length < 20 ? id : `${id.slice(0, id.indexOf('_') + 9)}…${id.slice(-4)}`
}

function day(at: Date, now: Date): string {
  const year = at.getFullYear() === now.getFullYear() ? undefined : 'numeric'
  return at.toLocaleDateString('en-GB', { day: 'numeric', month: 'short', year })
}

function scientific(value: number, digits: number): string {
  const [mantissa = '', exponent = ''] = Math.abs(value).toExponential(digits - 1).split('e')
  return `${sign(value)}${mantissa}×10${superscript(Number(exponent))}`
}

function sign(value: number): string {
  return value < 0 ? MINUS : ''
}

function grouped(text: string): string {
  const [whole = '', part] = text.split('.')
  const spaced = whole.length > 4 ? whole.replace(/\B(?=(\d{3})+$)/g, THIN) : whole
  return part === undefined ? spaced : `${spaced}.${part}`
}
