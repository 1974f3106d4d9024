import { queryOptions } from '@tanstack/react-query'
import { api, told, type EventType } from '@/api/client'

/** What two runs are held against each other by. */
export const TOLD: readonly EventType[] = ['run_described', 'run_evaluated', 'site_evaluated']

export function seriesQuery(runId: string) {
  return queryOptions({
    queryKey: ['series', runId],
    queryFn: ({ signal }) => told(api.GET('/api/runs/{run_id}/series', { params: { path: { run_id: runId } }, signal })),
  })
}
