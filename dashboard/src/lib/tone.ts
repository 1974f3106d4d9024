/** Which colour and shape a state has: in table, graph, chart and log the same. */
import type { Condition, State } from '@/api/schema'

export type Tone = 'waiting' | 'running' | 'answering' | 'completed' | 'failed' | 'lost' | 'paused' | 'idle'

interface Shape {
  /** An outline, on a square of 12 by 12. */
  outline: string
  filled: boolean
  width: number
}

/** A state is told by colour, by shape and by its word; the shape is the same on a page and in its icon. */
export const SHAPES: Record<Tone, Shape> = {
  running: { outline: 'M1.5 6a4.5 4.5 0 1 0 9 0 4.5 4.5 0 1 0-9 0Z', filled: true, width: 0 },
  answering: line('M6 10V2M2.5 5.5 6 2l3.5 3.5'),
  paused: line('M4 2.5v7M8 2.5v7'),
  completed: line('m2 6.5 2.7 2.7L10 3'),
  failed: line('m2.5 2.5 7 7m0-7-7 7'),
  lost: { ...line('M3.8 4.2a2.2 2.2 0 1 1 3.3 1.9c-.7.4-1.1.8-1.1 1.6M6 10.4v.1'), width: 1.7 },
  waiting: line('M2 6a4 4 0 1 0 8 0 4 4 0 1 0-8 0Z'),
  idle: line('M2.5 6h7'),
}

function line(outline: string): Shape {
  return { outline, filled: false, width: 2 }
}

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
