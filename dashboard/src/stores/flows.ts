/**
 * What moves between server and sites, slowly enough to be seen: rounds over kept features last half a second.
 * Each step that really happened is shown for a least time, in its order; where steps come faster than that for long,
 * the oldest are left out, so that what is shown stays close to what is.
 */
import type { EventType } from '@/api/client'
import type { Item } from './reducer'

export type Phase = 'idle' | 'dispatch' | 'work' | 'upload' | 'aggregate' | 'failed'

export const LEAST_MS = 400
const MOST_WAITING = 6
const KEPT = 3

const OF_SITES: Partial<Record<EventType, Phase>> = {
  model_dispatched: 'dispatch',
  client_train_started: 'work',
  client_train_completed: 'upload',
  client_update_arriving: 'upload',
  client_update_uploaded: 'upload',
  client_evaluated: 'upload',
  node_error: 'failed',
}

const OF_SERVER: Partial<Record<EventType, Phase>> = {
  aggregation_started: 'aggregate',
  aggregation_completed: 'aggregate',
}

const ENDING: ReadonlySet<EventType> = new Set([
  'round_completed',
  'run_paused',
  'run_completed',
  'run_stopped',
  'run_failed',
])

/** What an event has move; `null` where it moves nothing. */
export function phaseOf(type: EventType, nodeId: string): Phase | null {
  return (nodeId === 'server' ? OF_SERVER[type] : OF_SITES[type]) ?? null
}

/** What the latest event of a node has move, of a run that stands still at it. */
export function phaseAt(type: string | undefined, nodeId: string): Phase {
  return (type === undefined ? null : phaseOf(type as EventType, nodeId)) ?? 'idle'
}

interface Lane {
  shown: Phase
  since: number
  waiting: Phase[]
}

export class Flows {
  private readonly lanes = new Map<string, Lane>()
  private readonly listeners = new Set<() => void>()
  version = 0

  phase(nodeId: string): Phase {
    return this.lanes.get(nodeId)?.shown ?? 'idle'
  }

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /** The next events have come. */
  take(items: Iterable<Item>, now: number): void {
    for (const { event } of items) {
      if (ENDING.has(event.type)) {
        for (const lane of this.lanes.values()) this.push(lane, 'idle')
        continue
      }
      const phase = phaseOf(event.type, event.node_id)
      if (phase === null) continue
      let lane = this.lanes.get(event.node_id)
      if (lane === undefined) this.lanes.set(event.node_id, (lane = { shown: 'idle', since: 0, waiting: [] }))
      this.push(lane, phase)
    }
    this.advance(now)
  }

  /** Time has gone on. */
  advance(now: number): void {
    let changed = false
    for (const lane of this.lanes.values()) {
      if (lane.waiting.length === 0) continue
      if (lane.shown !== 'idle' && now - lane.since < LEAST_MS) continue
      lane.shown = lane.waiting.shift()!
      lane.since = now
      changed = true
    }
    if (!changed) return
    this.version += 1
    for (const listener of this.listeners) listener()
  }

  private push(lane: Lane, phase: Phase): void {
    if ((lane.waiting.at(-1) ?? lane.shown) === phase) return
    lane.waiting.push(phase)
    if (lane.waiting.length > MOST_WAITING) lane.waiting.splice(0, lane.waiting.length - KEPT)
  }
}
