/** Which site spent which second of a round, and in what: from the round's own events. */
import type { Item } from '@/stores/reducer'

export type Work = 'transfer' | 'train' | 'evaluate' | 'aggregate' | 'checkpoint' | 'failed'

export interface Span {
  readonly work: Work
  /** Milliseconds since the round began, on the clock of the run's server. */
  readonly from: number
  readonly until: number
}

export interface Lane {
  readonly node: string
  readonly spans: readonly Span[]
}

export interface Waterfall {
  readonly lanes: readonly Lane[]
  readonly milliseconds: number
}

/**
 * Of the events of one round, in their order. Clocks of sites differ: of a site only durations are used, and put at the
 * end of the time between its being asked and its answer. What remains before it is the way there and back, and waiting.
 */
export function waterfallOf(items: Iterable<Item>): Waterfall | null {
  let began: number | null = null
  let last = 0
  const spans = new Map<string, Span[]>()
  const asked = new Map<string, number>()
  const worked = new Map<string, number>()
  let aggregating: number | null = null
  let aggregated: number | null = null
  const add = (node: string, span: Span) => {
    const known = spans.get(node)
    if (known === undefined) spans.set(node, [span])
    else known.push(span)
  }
  for (const { event } of items) {
    const ts = Date.parse(event.ts)
    if (event.type === 'round_started') {
      spans.clear()
      asked.clear()
      worked.clear()
      began = ts
      last = 0
      continue
    }
    if (began === null) continue
    const now = ts - began
    if (event.role === 'server') last = Math.max(last, now)
    switch (event.type) {
      case 'model_dispatched':
        asked.set(`${event.node_id} ${event.task}`, now)
        break
      case 'client_train_completed':
      case 'client_evaluated':
        if (event.latency_ms != null)
          worked.set(`${event.node_id} ${event.type === 'client_evaluated' ? 'evaluate' : 'train'}`, event.latency_ms)
        break
      case 'client_update_uploaded': {
        const key = `${event.node_id} ${event.task}`
        const from = asked.get(key) ?? now - (event.latency_ms ?? 0)
        const work = Math.min(worked.get(key) ?? 0, now - from)
        if (now - from > work) add(event.node_id, { work: 'transfer', from, until: now - work })
        if (work > 0) add(event.node_id, { work: event.task === 'evaluate' ? 'evaluate' : 'train', from: now - work, until: now })
        asked.delete(key)
        break
      }
      case 'node_error':
        add(event.node_id, { work: 'failed', from: Math.min(...asked.values(), now), until: now })
        break
      case 'aggregation_started':
        aggregating = now
        break
      case 'aggregation_completed':
        add('server', { work: 'aggregate', from: aggregating ?? now, until: now })
        aggregated = now
        break
      case 'checkpoint_saved': {
        const took = event.latency_ms ?? 0
        add('server', { work: 'checkpoint', from: Math.max(aggregated ?? 0, now - took), until: now })
        break
      }
      default:
        break
    }
  }
  if (began === null) return null
  for (const [key, from] of asked) {
    const [node, task] = key.split(' ') as [string, string]
    add(node, { work: task === 'evaluate' ? 'evaluate' : 'train', from, until: last }) // still at it
  }
  const lanes = [...spans].map(([node, found]) => ({ node, spans: found }))
  return { lanes, milliseconds: Math.max(last, 1) }
}
