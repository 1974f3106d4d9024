/** The events that say what a run is, and what came out of it. */
import type { EventType } from '@/api/client'

export const DESCRIBING: EventType[] = ['run_described', 'site_described']

export const STAGE_EVENTS: EventType[] = ['stage_progress']

export const RESULTS: EventType[] = ['run_evaluated', 'site_evaluated', 'run_bounded', 'site_bounded', 'run_completed']
