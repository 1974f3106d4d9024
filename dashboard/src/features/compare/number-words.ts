import { percent, points } from '@/lib/format'

/** A score as it is read beside another: parts in per cent, a loss as it is. */
export function scoreWords(name: string, value: number | undefined): string {
  if (value === undefined) return '–'
  return isPart(name) ? percent(value, 1) : value.toFixed(3)
}

/** A difference with its sign, in points of a hundred or as it is. */
export function changeWords(name: string, change: number | undefined): string {
  if (change === undefined) return '–'
  if (isPart(name)) return points(change, 1)
  const text = Math.abs(change).toFixed(3)
  if (Number(text) === 0) return `±${text}`
  return change > 0 ? `+${text}` : `−${text}`
}

/** A score at an axis, with as many places as tell its ticks apart. */
export function tickWords(name: string, value: number, range: number): string {
  if (isPart(name)) return percent(value, range > 0.05 ? 0 : range > 0.005 ? 1 : 2)
  return value.toFixed(range > 0.5 ? 1 : range > 0.05 ? 2 : 3)
}

function isPart(name: string): boolean {
  return !name.endsWith('loss')
}
