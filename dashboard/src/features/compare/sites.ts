import type { EventOf } from '@/api/client'
import { compared, type Compared } from './scores'

export type SiteEvaluated = EventOf<'site_evaluated'>

/** How the final models of two runs do at a site. */
export interface SiteChange {
  node: string
  rows: { a: number | undefined; b: number | undefined }
  score: Compared
}

/** By the number of the site; where only one run has a site, its change is not known. */
export function siteChanges(a: SiteEvaluated[], b: SiteEvaluated[], metric: string): SiteChange[] {
  const [inA, inB] = [byNode(a), byNode(b)]
  const nodes = [...new Set([...inA.keys(), ...inB.keys()])]
  nodes.sort((one, other) => one.localeCompare(other, 'en', { numeric: true }))
  return nodes.flatMap((node) => {
    const [eventA, eventB] = [inA.get(node), inB.get(node)]
    const [score] = compared(eventA ?? NONE, eventB ?? NONE, [metric])
    return score ? [{ node, rows: { a: eventA?.rows, b: eventB?.rows }, score }] : []
  })
}

const NONE = { metrics: {} }

/** Of each site the latest: an attempt that was resumed says it again. */
function byNode(events: SiteEvaluated[]): Map<string, SiteEvaluated> {
  return new Map(events.map((event) => [event.node_id, event]))
}
