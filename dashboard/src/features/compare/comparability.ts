import type { Described } from './differences'

/** Why the scores of two runs say nothing about which is better; none where they may be held against each other. */
export function obstacles(a: Described, b: Described): string[] {
  const reasons: string[] = []
  if (a.phase !== b.phase) reasons.push(`their phases differ (${a.phase}, ${b.phase})`)
  if (a.data.site_data !== b.data.site_data) reasons.push('in one of them the sites bring their own data')
  if (a.data.fingerprint !== b.data.fingerprint) reasons.push('their images differ')
  if (a.data.rows.test !== b.data.rows.test) {
    reasons.push(`their test splits differ (${count(a.data.rows.test)}, ${count(b.data.rows.test)})`)
  }
  return reasons
}

function count(rows: number | undefined): string {
  return rows === undefined ? 'not known' : `${rows.toLocaleString('en')} rows`
}
