import type { Series } from '@/api/schema'

export interface Point {
  round: number
  value: number
}

/** One place of a chart, where each run may have a value. */
export interface Place {
  round: number
  a?: number
  b?: number
}

const MOST_POINTS = 600

/** The course of a metric, without the rounds in which it is not known. */
export function course(series: Series, metric: string): Point[] {
  const values = series.columns[metric] ?? []
  return series.round.flatMap((round, place) => {
    const value = values[place]
    return typeof value === 'number' ? [{ round, value }] : []
  })
}

/** At most so many points: of each stretch its lowest and its highest, so that no peak is lost; the ends stay. */
export function thinned(points: Point[], most = MOST_POINTS): Point[] {
  if (points.length <= most) return points
  const stretches = Math.max(1, Math.floor((most - 2) / 2))
  const inner = points.slice(1, -1)
  const size = inner.length / stretches
  const kept = Array.from({ length: stretches }, (_, stretch) =>
    extremes(inner.slice(Math.floor(stretch * size), Math.floor((stretch + 1) * size))),
  )
  return [...points.slice(0, 1), ...kept.flat(), ...points.slice(-1)]
}

/** Two courses over the same axis. */
export function overlaid(a: Point[], b: Point[]): Place[] {
  const places = new Map<number, Place>()
  const put = (points: Point[], side: 'a' | 'b') => {
    for (const { round, value } of points) places.set(round, { ...places.get(round), round, [side]: value })
  }
  put(a, 'a')
  put(b, 'b')
  return [...places.values()].sort((one, other) => one.round - other.round)
}

function extremes(points: Point[]): Point[] {
  const [first] = points
  if (!first) return []
  let [low, high] = [first, first]
  for (const point of points) {
    if (point.value < low.value) low = point
    if (point.value > high.value) high = point
  }
  if (low === high) return [low]
  return low.round < high.round ? [low, high] : [high, low]
}
