/** What pages read, each with its key: one place, so that two pages share what they read. */
import { infiniteQueryOptions, keepPreviousData, queryOptions } from '@tanstack/react-query'
import { api, told } from './client'
import type { Order, State } from './schema'

export interface RunFilter {
  state: State[]
  phase: string[]
  engine: string[]
  text: string
  sort: Order
  ascending: boolean
}

export const ALL_RUNS: RunFilter = { state: [], phase: [], engine: [], text: '', sort: 'created_at', ascending: false }

export function runsQuery(filter: RunFilter) {
  return infiniteQueryOptions({
    queryKey: ['runs', filter],
    queryFn: ({ pageParam, signal }) =>
      told(api.GET('/api/runs', { params: { query: { ...filter, cursor: pageParam, limit: 50 } }, signal })),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next_cursor,
    placeholderData: keepPreviousData,
    refetchInterval: 30_000,
  })
}

export const attentionQuery = queryOptions({
  queryKey: ['attention'],
  queryFn: ({ signal }) => told(api.GET('/api/attention', { signal })),
  refetchInterval: 5_000,
})

export const phasesQuery = queryOptions({
  queryKey: ['phases'],
  queryFn: ({ signal }) => told(api.GET('/api/phases', { signal })),
  refetchInterval: 15_000,
})

export const wordsQuery = queryOptions({
  queryKey: ['words'],
  queryFn: ({ signal }) => told(api.GET('/api/words', { signal })),
  staleTime: Infinity,
})

export function runQuery(runId: string) {
  return queryOptions({
    queryKey: ['run', runId],
    queryFn: ({ signal }) => told(api.GET('/api/runs/{run_id}', { params: { path: { run_id: runId } }, signal })),
  })
}

export function commandsQuery(runId: string) {
  return queryOptions({
    queryKey: ['commands', runId],
    queryFn: ({ signal }) =>
      told(api.GET('/api/runs/{run_id}/commands', { params: { path: { run_id: runId }, query: { limit: 20 } }, signal })),
  })
}
