/** Numbers, times and sizes, as people read them; in the browser's language, and in UTC where that is wished. */

const locale = typeof navigator === 'undefined' ? 'en' : navigator.language

let utc = read('fedforge-utc') === '1'
const listeners = new Set<() => void>()

export function isUtc(): boolean {
  return utc
}

export function setUtc(wished: boolean): void {
  utc = wished
  try {
    localStorage.setItem('fedforge-utc', wished ? '1' : '0')
  } catch {
    // a browser that keeps nothing asks again
  }
  for (const listener of listeners) listener()
}

export function onUtc(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

function read(name: string): string | null {
  try {
    return localStorage.getItem(name)
  } catch {
    return null
  }
}

/** 2 min 5 s. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '–'
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  const minutes = Math.floor(whole / 60)
  if (minutes < 60) return whole % 60 === 0 ? `${minutes} min` : `${minutes} min ${whole % 60} s`
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return `${hours} h ${minutes % 60} min`
  return `${Math.floor(hours / 24)} d ${hours % 24} h`
}

/** How long ago, in one unit. */
export function age(seconds: number): string {
  const past = Math.max(0, seconds)
  if (past < 1.5) return 'now'
  if (past < 60) return `${Math.round(past)} s ago`
  if (past < 3600) return `${Math.round(past / 60)} min ago`
  if (past < 48 * 3600) return `${Math.round(past / 3600)} h ago`
  return `${Math.round(past / 86_400)} d ago`
}

export function bytes(size: number): string {
  let amount = size
  for (const unit of ['B', 'kB', 'MB', 'GB']) {
    if (amount < 1000 || unit === 'GB') return unit === 'B' ? `${amount} B` : `${amount.toFixed(1)} ${unit}`
    amount /= 1000
  }
  return ''
}

export function count(value: number): string {
  return value.toLocaleString(locale)
}

/** 94.8 %; more places where two numbers are compared. */
export function percent(value: number, places = 1): string {
  return `${(100 * value).toFixed(places)} %`
}

/** +0.3, as a difference of parts in points of a hundred. */
export function points(difference: number, places = 1): string {
  const text = (100 * difference).toFixed(places)
  return Number(text) === 0 ? `±${(0).toFixed(places)}` : difference > 0 ? `+${text}` : `−${text.slice(1)}`
}

export function score(name: string, value: number): string {
  return name.endsWith('loss') ? value.toFixed(3) : percent(value)
}

const named: Record<string, string> = { auc: 'AUC', roc_auc: 'ROC AUC', macro_f1: 'macro F1' }

/** A metric's name in words. */
export function metricName(name: string): string {
  return named[name] ?? name.replace(/_/g, ' ')
}

const FORMS = {
  moment: { dateStyle: 'medium', timeStyle: 'medium' },
  time: { hour: '2-digit', minute: '2-digit', second: '2-digit' },
  instant: { hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3 },
  date: { dateStyle: 'medium' },
} satisfies Record<string, Intl.DateTimeFormatOptions>

const formats = new Map<string, Intl.DateTimeFormat>()

/** Making a format costs a hundred times what using it does. */
function formatted(form: keyof typeof FORMS, at: number | string): string {
  const name = `${form} ${utc}`
  let format = formats.get(name)
  if (format === undefined) {
    format = new Intl.DateTimeFormat(locale, { ...FORMS[form], ...(utc ? { timeZone: 'UTC' } : {}) })
    formats.set(name, format)
  }
  return format.format(new Date(at))
}

export function moment(at: number | string): string {
  return formatted('moment', at) + (utc ? ' UTC' : '')
}

export function timeOfDay(at: number | string, fraction = false): string {
  return formatted(fraction ? 'instant' : 'time', at)
}

export function dateOf(at: number | string): string {
  return formatted('date', at)
}

/** Site 3, of `client-3`. */
export function nodeName(nodeId: string): string {
  if (nodeId === 'server') return 'Server'
  return nodeId.startsWith('client-') ? `Site ${nodeId.slice('client-'.length)}` : nodeId
}

/** Sites by number, the server first. */
export function byNode(a: string, b: string): number {
  const number = (id: string) => (id === 'server' ? -1 : Number(/\d+$/.exec(id)?.[0] ?? Infinity))
  return number(a) - number(b) || a.localeCompare(b)
}

export function shortHash(hash: string): string {
  return hash.slice(0, 12)
}

export function capitalised(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`
}
