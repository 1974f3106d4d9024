/** The points of a chart: one global round each, with the value of the run and those of its sites. */
import type { Course } from '@/stores/series'
import { downsampled } from '@/stores/series'

export interface Point {
  readonly round: number
  readonly value: number | null
  /** Lowest and highest of the sites. */
  readonly band: [number, number] | null
  /** By site, where there are few. */
  readonly sites: Readonly<Record<string, number>>
}

export const MOST_POINTS = 600
export const MOST_LINES = 10

/** What the run and its sites call the same thing. */
const OF_SITES: Record<string, string[]> = {
  seconds: ['train_seconds'],
  payload_bytes: ['train_payload_bytes'],
  latency: ['train_round_trip_seconds'],
}

/** Of one metric; sites are lines of their own only where asked for by name. */
export function pointsOf(course: Course, metric: string, lines: readonly string[]): Point[] {
  const names = OF_SITES[metric] ?? [metric]
  const rounds = new Set(course.rounds.keys())
  for (const values of course.sites.values()) for (const round of values.keys()) rounds.add(round)
  const points: Point[] = []
  for (const round of [...rounds].sort((a, b) => a - b)) {
    let low = Infinity
    let high = -Infinity
    const sites: Record<string, number> = {}
    for (const [site, values] of course.sites) {
      const row = values.get(round)
      const name = names.find((each) => row?.[each] != null)
      if (row === undefined || name === undefined) continue
      const value = row[name]!
      low = Math.min(low, value)
      high = Math.max(high, value)
      if (lines.includes(site)) sites[site] = value
    }
    const value = course.rounds.get(round)?.[metric] ?? null
    const band: [number, number] | null = low <= high ? [low, high] : null
    if (value !== null || band !== null) points.push({ round, value, band, sites })
  }
  return points
}

export function fewPoints(points: readonly Point[]): readonly Point[] {
  return downsampled(points, MOST_POINTS, (point) => point.value ?? point.band?.[0] ?? null)
}

/** Sites by their latest value of a metric, the worst first. */
export function worstFirst(course: Course, metric: string): string[] {
  const lower = metric.endsWith('loss') || metric === 'seconds' || metric === 'latency' ? -1 : 1
  const latest = (site: string) => {
    for (const row of [...course.sites.get(site)!.values()].reverse()) if (row[metric] != null) return row[metric]
    return null
  }
  return [...course.sites.keys()]
    .map((site) => ({ site, value: latest(site) }))
    .sort((a, b) => (a.value === null ? 1 : b.value === null ? -1 : lower * (a.value - b.value)))
    .map(({ site }) => site)
}

/** A chart's bottom and top, so that a course fills it and is not exaggerated: at least `least` high. */
export function domainOf(values: readonly number[], least: number, most = Infinity): [number, number] {
  if (values.length === 0) return [0, 1]
  const low = Math.min(...values)
  const high = Math.max(...values)
  const room = Math.max((high - low) * 0.08, (least - (high - low)) / 2, 0)
  return [low >= 0 ? Math.max(0, low - room) : low - room, Math.min(high + room, Math.max(high, most))]
}
