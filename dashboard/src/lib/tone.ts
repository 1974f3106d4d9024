/** Which colour and shape a state has: in table, graph, chart and log the same. */
import type { Condition, State } from '@/api/schema'

export type Tone = 'waiting' | 'running' | 'answering' | 'completed' | 'failed' | 'lost' | 'paused' | 'idle'

const OF_STATES: Record<State, Tone> = {
  requested: 'waiting',
  starting: 'waiting',
  running: 'running',
  pausing: 'paused',
  paused: 'paused',
  resuming: 'waiting',
  stopping: 'idle',
  stopped: 'idle',
  completed: 'completed',
  failed: 'failed',
  lost: 'lost',
}

const OF_CONDITIONS: Record<Condition, Tone> = {
  waiting: 'waiting',
  working: 'running',
  answering: 'answering',
  idle: 'idle',
  failed: 'failed',
  silent: 'lost',
  offline: 'lost',
}

export function toneOfState(state: State): Tone {
  return OF_STATES[state]
}

export function toneOfCondition(condition: Condition): Tone {
  return OF_CONDITIONS[condition]
}
