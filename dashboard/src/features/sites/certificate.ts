const DAY_MS = 86_400_000
const WARNED_DAYS = 30

export interface Certificate {
  state: 'unknown' | 'valid' | 'ending' | 'ended'
  /** Whole days until its end; less than 0 once it is over. */
  days: number | null
}

/** How long a site's certificate lasts; one that ends within 30 days is to be renewed now. */
export function certificate(endsAt: string | null, now: number): Certificate {
  if (endsAt === null) return { state: 'unknown', days: null }
  const days = Math.floor((Date.parse(endsAt) - now) / DAY_MS)
  if (days < 0) return { state: 'ended', days }
  return { state: days < WARNED_DAYS ? 'ending' : 'valid', days }
}

export function certificateWords({ state, days }: Certificate): string {
  if (days === null) return 'not known'
  const count = Math.abs(days) === 1 ? '1 day' : `${Math.abs(days).toLocaleString('en')} days`
  if (state === 'ended') return 'has ended'
  return days === 0 ? 'ends within a day' : `${count} left`
}

/** How far a site's clock is off, in words. */
export function clockWords(offset: number | null): string {
  if (offset === null) return 'not known'
  const seconds = Math.abs(offset)
  if (seconds < 0.05) return 'as the federation’s'
  const shown = seconds < 10 ? seconds.toFixed(1) : Math.round(seconds).toLocaleString('en')
  return `${shown} s ${offset > 0 ? 'ahead' : 'behind'}`
}
