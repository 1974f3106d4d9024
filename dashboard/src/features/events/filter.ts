/** Which events are shown: what the monitor looks for in what is older, and this in what comes. */
import type { Event, EventType } from '@/api/client'
import type { Tone } from '@/lib/tone'

export interface EventFilter {
  readonly types: readonly EventType[]
  readonly nodes: readonly string[]
  readonly rounds: readonly number[]
  /** A part of the event as JSON, whatever its case. */
  readonly text: string
  readonly heartbeats: boolean
}

export const EMPTY: EventFilter = { types: [], nodes: [], rounds: [], text: '', heartbeats: false }

export function isEmpty(filter: EventFilter): boolean {
  return filter.types.length === 0 && filter.nodes.length === 0 && filter.rounds.length === 0 && filter.text === ''
}

export function matches(filter: EventFilter, event: Event): boolean {
  if (!filter.heartbeats && event.type === 'node_heartbeat') return false
  if (filter.types.length > 0 && !filter.types.includes(event.type)) return false
  if (filter.nodes.length > 0 && !filter.nodes.includes(event.node_id)) return false
  if (filter.rounds.length > 0 && !filter.rounds.includes(event.round)) return false
  return filter.text === '' || JSON.stringify(event).toLowerCase().includes(filter.text.toLowerCase())
}

/** The colour and shape that an event has in the log. */
export function toneOfEvent(event: Event): Tone {
  switch (event.type) {
    case 'node_error':
    case 'run_failed':
    case 'events_dropped':
      return 'failed'
    case 'run_lost':
    case 'lease_ended':
      return 'lost'
    case 'run_paused':
      return 'paused'
    case 'run_completed':
    case 'round_completed':
    case 'checkpoint_saved':
    case 'run_evaluated':
    case 'run_bounded':
      return 'completed'
    case 'client_train_started':
    case 'run_started':
    case 'run_resumed':
    case 'run_back':
    case 'round_started':
      return 'running'
    case 'client_update_uploaded':
    case 'client_update_arriving':
    case 'client_train_completed':
    case 'client_evaluated':
    case 'aggregation_started':
    case 'aggregation_completed':
      return 'answering'
    case 'model_dispatched':
    case 'sites_awaited':
      return 'waiting'
    default:
      return 'idle'
  }
}
