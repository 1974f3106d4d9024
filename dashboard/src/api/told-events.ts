/** The events of some types of a run: all there are, read again when another one comes. */
import { useEffect } from 'react'
import { queryOptions, useQuery, useQueryClient } from '@tanstack/react-query'
import type { LiveStore } from '@/stores/live'
import { api, told, type Event, type EventOf, type EventType } from './client'
import type { EventPage, RecordedEvent } from './schema'

const PAGE = 1_000

/** Every event of a run that is looked for, page by page. */
export async function everyEvent(
  runId: string,
  search: { type?: EventType[]; round?: number[] },
  signal: AbortSignal,
): Promise<RecordedEvent[]> {
  const events: RecordedEvent[] = []
  let after: number | null = 0
  while (after !== null) {
    const page: EventPage = await told(
      api.GET('/api/runs/{run_id}/events', {
        params: { path: { run_id: runId }, query: { ...search, after, limit: PAGE } },
        signal,
      }),
    )
    events.push(...page.events)
    after = page.next_after
  }
  return events
}

export function toldEventsQuery(runId: string, types: readonly EventType[]) {
  return queryOptions({
    queryKey: ['events', runId, types],
    queryFn: ({ signal }) => everyEvent(runId, { type: [...types] }, signal),
    staleTime: Infinity,
  })
}

/** Of a run that is followed. */
export function useToldEvents(live: LiveStore, types: readonly EventType[]) {
  const client = useQueryClient()
  const { runId } = live.getState()
  const query = useQuery(toldEventsQuery(runId, types))
  const key = types.join(' ')
  useEffect(() => {
    let seen = live.getState().recent.at(-1)?.seq ?? 0
    const wanted = new Set(key.split(' '))
    return live.subscribe(({ recent }) => {
      const last = recent.at(-1)?.seq ?? 0
      if (last <= seen) return
      let another = false
      for (let place = recent.length - 1; place >= 0 && recent[place]!.seq > seen; place--)
        another ||= wanted.has(recent[place]!.event.type)
      seen = last
      if (another) void client.invalidateQueries({ queryKey: ['events', runId, key.split(' ')] })
    })
  }, [client, live, runId, key])
  return query
}

/** The latest event of a type, at most `until` a `seq`. */
export function latestOf<T extends EventType>(
  events: readonly RecordedEvent[] | undefined,
  type: T,
  until: number | null = null,
): EventOf<T> | undefined {
  return events?.findLast(
    (each): each is RecordedEvent & { event: EventOf<T> } => each.event.type === type && (until === null || each.seq <= until),
  )?.event as EventOf<T> | undefined
}

export function allOf<T extends EventType>(
  events: readonly RecordedEvent[] | undefined,
  type: T,
  until: number | null = null,
): EventOf<T>[] {
  return (events ?? [])
    .filter((each) => each.event.type === type && (until === null || each.seq <= until))
    .map((each) => each.event as Event as EventOf<T>)
}
