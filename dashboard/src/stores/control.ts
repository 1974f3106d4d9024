/** Where a run is, as the monitor's `control.py` has it: the same rules over the same table. */
import type { Event } from '@/api/client'
import type { Command, State } from '@/api/schema'
import { machine, type Desired } from './machine'

export interface Control {
  readonly state: State
  readonly attempt: number
  readonly claimable: boolean
  readonly beforeLost: State | null
  readonly closing: Desired | null
}

export const BEGINNING: Control = {
  state: 'requested',
  attempt: 1,
  claimable: false,
  beforeLost: null,
  closing: null,
}

export function at(state: State, attempt: number, more: Partial<Control> = {}): Control {
  return { ...BEGINNING, state, attempt, ...more }
}

/** After a command; `null` where it is not legal. */
export function commanded(control: Control, command: Command): Control | null {
  if (control.closing === 'run' && command === 'stop') return { ...control, closing: 'stop' }
  const follows = machine.follows[control.state]?.[command]
  if (follows === undefined) return null
  if (command === 'resume' && machine.relaunched.includes(control.state))
    return at(follows, control.attempt + 1, { claimable: true })
  if (control.claimable) return command === 'stop' ? at('stopped', control.attempt) : null
  return at(follows, control.attempt)
}

export function allowed(control: Control): Command[] {
  return machine.commands.filter((command) => commanded(control, command) !== null)
}

/** After somebody has taken it upon him to start it. */
export function claimed(control: Control): Control | null {
  if (!control.claimable) return null
  if (control.state === 'lost') return at('resuming', control.attempt + 1)
  return at(control.state === 'requested' ? 'starting' : control.state, control.attempt)
}

/** After an event of the run's `attempt`. */
export function noticed(control: Control, event: Event): Control {
  const { attempt } = event
  const notice = noticeOf(event)
  if (control.state === 'completed' && attempt === control.attempt && (notice === 'closing' || notice === 'closed'))
    return { ...control, closing: notice === 'closing' ? (control.closing ?? 'run') : null }
  if (attempt < control.attempt || control.state === 'completed') return control
  let now = attempt > control.attempt ? at('resuming', attempt) : control
  let follows = machine.follows[now.state]?.[notice]
  if (now.state === 'lost' && follows === undefined) {
    const back = now.beforeLost ?? 'running'
    now = at(back, attempt)
    follows = machine.follows[back]?.[notice]
  }
  if (follows !== undefined) return at(follows, attempt)
  return machine.heard.includes(now.state) ? { ...now, claimable: false } : now
}

function noticeOf(event: Event): string {
  if (event.type === 'stage_progress') return event.status === 'running' ? 'closing' : 'closed'
  return machine.notices.includes(event.type) ? event.type : 'alive'
}
