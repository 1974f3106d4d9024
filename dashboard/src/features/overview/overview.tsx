import { isBlind } from '@/components/connection-pill'
import { cn } from '@/lib/utils'
import { useRunsConnection } from '@/stores/runs'
import { Attention } from './attention'
import { Chain } from './chain'
import { RunTable } from './run-table'
import { RunningNow } from './running-now'

/** First what needs somebody, then what runs, then the chain of phases, then every run there was. */
export function Overview() {
  const stale = useRunsConnection(({ connection }) => isBlind(connection) && connection.kind !== 'connecting')
  return (
    <div className={cn('mx-auto flex w-full max-w-[1600px] flex-col gap-5 px-3 py-4 sm:px-4', stale && 'grayscale')} data-stale={stale || undefined}>
      <title>Runs – FedForge</title>
      <h1 className="sr-only">Overview</h1>
      <Attention />
      <RunningNow />
      <Chain />
      <RunTable />
    </div>
  )
}
