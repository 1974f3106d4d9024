import type { Series } from '@/api/schema'
import { courseOf, downsampled } from '@/stores/series'

/** One place of a chart, where each run may have a value. */
export interface Place {
  round: number
  a?: number
  b?: number
}

interface Point {
  round: number
  value: number
}

const MOST_POINTS = 600

/** A metric of two runs over the same axis, the global round; rounds in which neither knows it are left out. */
export function overlaid(a: Series, b: Series, metric: string): Place[] {
  const places = new Map<number, Place>()
  for (const { round, value } of points(a, metric)) places.set(round, { round, a: value })
  for (const { round, value } of points(b, metric)) places.set(round, { ...places.get(round), round, b: value })
  return [...places.values()].sort((one, other) => one.round - other.round)
}

function points(series: Series, metric: string): readonly Point[] {
  const known = [...courseOf(series).rounds].flatMap(([round, values]) => {
    const value = values[metric]
    return value == null ? [] : [{ round, value }]
  })
  return downsampled(known, MOST_POINTS, (point) => point.value)
}
