/** The monitor's own tables of states and activities, written by `make openapi`: nothing of them is said again here. */
import tables from '../../machine.json'
import type { Command, Condition, RunView, State } from '@/api/schema'
import type { EventType } from '@/api/client'

export type Desired = 'run' | 'pause' | 'stop'

export type StandIn = RunView['stand_ins'][number]

interface Machine {
  follows: Partial<Record<State, Partial<Record<string, State>>>>
  heard: State[]
  relaunched: State[]
  ended: State[]
  commands: Command[]
  notices: string[]
  state_words: Record<State, string>
  activities: Partial<Record<EventType, string | null>>
  preparation: string
  afterwards: string[]
  conditions: Partial<Record<EventType, Condition>>
  seen: Partial<Record<string, Condition>>
  least_patience_seconds: number
  patience_factor: number
  silent_site_seconds: number
  of_rounds: EventType[]
  stand_ins: Record<StandIn, string>
}

export const machine = tables as unknown as Machine
