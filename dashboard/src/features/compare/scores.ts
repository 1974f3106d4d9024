import type { ScoreInterval } from '@/api/schema'

/** A metric in two runs; `undefined` where a run does not have it. */
export interface Compared {
  name: string
  a: number | undefined
  b: number | undefined
  /** B less A. */
  change: number | undefined
  intervals: { a: ScoreInterval | undefined; b: ScoreInterval | undefined }
  /** `unsure` where the intervals overlap, so that the difference is not telling; `unknown` where one is missing. */
  telling: 'yes' | 'unsure' | 'unknown'
}

interface Scored {
  metrics: Record<string, number>
  intervals?: Record<string, ScoreInterval>
}

/** Those that are better when they are lower. */
const LOWER_IS_BETTER = /loss|error|seconds|calibration/

export function compared(a: Scored, b: Scored, names = metricNames(a, b)): Compared[] {
  return names.map((name) => {
    const [valueA, valueB] = [a.metrics[name], b.metrics[name]]
    const intervals = { a: a.intervals?.[name], b: b.intervals?.[name] }
    const change = valueA === undefined || valueB === undefined ? undefined : valueB - valueA
    return { name, a: valueA, b: valueB, change, intervals, telling: telling(change, intervals) }
  })
}

/** In what way a change is one: better and worse depend on the metric. */
export function direction(name: string, change: number | undefined): 'better' | 'worse' | 'same' | 'unknown' {
  if (change === undefined) return 'unknown'
  if (change === 0) return 'same'
  return change > 0 !== LOWER_IS_BETTER.test(name) ? 'better' : 'worse'
}

function telling(change: number | undefined, { a, b }: Compared['intervals']): Compared['telling'] {
  if (change === undefined || !a || !b) return 'unknown'
  return a.low <= b.high && b.low <= a.high ? 'unsure' : 'yes'
}

function metricNames(a: Scored, b: Scored): string[] {
  return [...new Set([...Object.keys(a.metrics), ...Object.keys(b.metrics)])]
}
