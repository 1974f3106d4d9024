import { useQuery } from '@tanstack/react-query'
import { runQuery } from '@/api/queries'
import { allOf, latestOf, toldEventsQuery } from '@/api/told-events'
import { seriesQuery, TOLD } from './queries'
import type { RunSide } from './run-side'

const AGAIN_MS = 10_000

export interface AskedSide {
  side: RunSide | undefined
  error: Error | null
  retry: () => void
}

/** What there is of a run; one that is under way is asked for again. */
export function useRunSide(runId: string): AskedSide {
  const options = { enabled: runId !== '', staleTime: AGAIN_MS, refetchInterval: AGAIN_MS }
  const run = useQuery({ ...runQuery(runId), ...options })
  const over = run.data?.state === 'completed'
  const resting = { ...options, refetchInterval: over ? (false as const) : AGAIN_MS }
  const series = useQuery({ ...seriesQuery(runId), ...resting })
  const events = useQuery({ ...toldEventsQuery(runId, TOLD), ...resting })
  const all = [run, series, events]
  const error = all.map((query) => query.error ?? query.failureReason).find((each) => each !== null) ?? null
  const retry = () => all.forEach((query) => query.error && void query.refetch())
  if (!run.data || !series.data || !events.data) return { side: undefined, error, retry }
  const described = latestOf(events.data, 'run_described')
  const evaluated = latestOf(events.data, 'run_evaluated')
  const side = { run: run.data, series: series.data, described, evaluated, sites: allOf(events.data, 'site_evaluated') }
  return { side, error, retry }
}
