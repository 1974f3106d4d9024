import { queryOptions } from '@tanstack/react-query'
import { api, told } from '@/api/client'

export const sitesQuery = queryOptions({
  queryKey: ['sites'],
  queryFn: ({ signal }) => told(api.GET('/api/sites', { signal })),
  refetchInterval: 5_000,
})

export const latestRunQuery = queryOptions({
  queryKey: ['latest run'],
  queryFn: ({ signal }) => told(api.GET('/api/runs', { params: { query: { limit: 1 } }, signal })),
  refetchInterval: 15_000,
})

export function disclosuresQuery(runId: string) {
  return queryOptions({
    queryKey: ['disclosures', runId],
    queryFn: ({ signal }) =>
      told(api.GET('/api/runs/{run_id}/disclosures', { params: { path: { run_id: runId } }, signal })),
    refetchInterval: 15_000,
  })
}
