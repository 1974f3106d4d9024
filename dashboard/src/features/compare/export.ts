import { csvOf } from '@/lib/download'
import { differences } from './differences'
import type { RunSide } from './run-side'
import { compared } from './scores'
import { siteChanges } from './sites'

type Cell = string | number | undefined

/** Everything that differs, one line a fact: scores, scores at sites, what the runs are made of. */
export function comparisonCsv(a: RunSide, b: RunSide): string {
  const rows: Cell[][] = []
  const scores = compared(a.evaluated ?? NOTHING, b.evaluated ?? NOTHING)
  for (const score of scores) {
    const { a: low, b: high } = score.intervals
    rows.push(['test score', '', score.name, score.a, score.b, score.change, low?.low, low?.high, high?.low, high?.high, score.telling])
  }
  for (const metric of siteMetrics(a, b)) {
    for (const { node, score } of siteChanges(a.sites, b.sites, metric)) {
      const { a: low, b: high } = score.intervals
      rows.push(['site score', node, metric, score.a, score.b, score.change, low?.low, low?.high, high?.low, high?.high, score.telling])
    }
  }
  if (a.described && b.described) {
    for (const section of differences(a.described, b.described)) {
      for (const each of section.differences) rows.push([section.name.toLowerCase(), '', each.key, each.a, each.b])
    }
  }
  const header = ['kind', 'site', 'name', a.run.run_id, b.run.run_id, 'difference', 'a_low', 'a_high', 'b_low', 'b_high', 'telling']
  return csvOf(header, rows.map((row) => header.map((_, place) => row[place] ?? null)))
}

/** The metrics that any site has in either run. */
export function siteMetrics(a: RunSide, b: RunSide): string[] {
  return [...new Set([...a.sites, ...b.sites].flatMap((event) => Object.keys(event.metrics)))]
}

const NOTHING = { metrics: {} }
