/** The events that came since the log was opened: of those that are looked for as many as one can scroll through. */
import { useMemo, useSyncExternalStore } from 'react'
import { useRun } from '@/features/run/run-context'
import type { Live, LiveStore } from '@/stores/live'
import type { Item } from '@/stores/reducer'
import { matches, type EventFilter } from './filter'

export const MOST_FRESH = 2_000

export interface Fresh {
  /** What is older than this is not here, and can be read. */
  readonly from: number
  readonly seen: number
  /** The oldest first. */
  readonly items: readonly Item[]
}

export function begun(live: Live, filter: EventFilter): Fresh {
  return {
    from: live.recentFrom,
    seen: live.folded?.run.lastSeq ?? 0,
    items: live.recent.filter((item) => matches(filter, item.event)),
  }
}

/** With what has come since; the same object where nothing of it is looked for. */
export function grown(fresh: Fresh, live: Live, filter: EventFilter): Fresh {
  const last = live.folded?.run.lastSeq ?? 0
  if (last === fresh.seen) return fresh
  if (last < fresh.seen || live.recentFrom > fresh.seen + 1) return begun(live, filter) // what is between is not here
  let place = live.recent.length
  while (place > 0 && live.recent[place - 1]!.seq > fresh.seen) place -= 1
  const found = live.recent.slice(place).filter((item) => matches(filter, item.event))
  if (found.length === 0) return { ...fresh, seen: last }
  const items = [...fresh.items, ...found]
  if (items.length <= MOST_FRESH) return { ...fresh, seen: last, items }
  const kept = items.slice(-MOST_FRESH)
  return { from: kept[0]!.seq, seen: last, items: kept }
}

export function useFresh(filter: EventFilter): Fresh {
  const { live } = useRun()
  const latest = useMemo(() => following(live, filter), [live, filter])
  return useSyncExternalStore(live.subscribe, latest)
}

/** Says what is fresh, whenever it is asked. */
function following(live: LiveStore, filter: EventFilter): () => Fresh {
  let now = begun(live.getState(), filter)
  return () => (now = grown(now, live.getState(), filter))
}
