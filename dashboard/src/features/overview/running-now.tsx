import { useInfiniteQuery } from '@tanstack/react-query'
import { Link } from 'react-router'
import { ALL_RUNS, runsQuery } from '@/api/queries'
import type { RunView, State } from '@/api/schema'
import { RoundProgress } from '@/components/progress'
import { Sparkline } from '@/components/sparkline'
import { StandIns } from '@/components/stand-ins'
import { Panel } from '@/components/ui/panel'
import { RunState } from '@/components/ui/status'
import { percent } from '@/lib/format'
import { machine } from '@/stores/machine'

const LIVE = (Object.keys(machine.state_words) as State[]).filter((state) => !machine.ended.includes(state))

/** What runs now, or is about to. */
export function RunningNow() {
  const { data } = useInfiniteQuery(runsQuery({ ...ALL_RUNS, state: LIVE }))
  const runs = (data?.pages ?? []).flatMap((page) => page.runs).filter((run) => !machine.ended.includes(run.state))
  if (runs.length === 0) return null
  return (
    <Panel title="Runs now" className="rounded-md border bg-card">
      <ul className="grid divide-y sm:grid-cols-2 sm:divide-y-0 xl:grid-cols-3">
        {runs.map((run) => (
          <RunningRun key={run.run_id} run={run} />
        ))}
      </ul>
    </Panel>
  )
}

function RunningRun({ run }: { run: RunView }) {
  const accuracy = run.metrics.accuracy
  return (
    <li className="min-w-0">
      <Link to={`/runs/${run.run_id}`} className="flex flex-col gap-1.5 px-3 py-2.5 hover:bg-accent/50">
        <span className="flex items-center justify-between gap-2">
          <RunState state={run.state} stalled={run.stalled} />
          <span className="truncate font-mono text-xs text-muted-foreground">{run.run_id}</span>
        </span>
        <span className="flex items-center justify-between gap-2">
          <span>
            {run.phase ?? 'phase unknown'} <span className="text-muted-foreground">{run.clients === null ? '' : `· ${run.clients} sites`}</span>
          </span>
          <RoundProgress round={run.round} total={run.rounds_total} />
        </span>
        <span className="flex h-5 items-center justify-between gap-2">
          <span>{accuracy === undefined ? <Waits run={run} /> : `accuracy ${percent(accuracy)}`}</span>
          {run.history.values.length > 1 && <Sparkline values={run.history.values} label="Course of the accuracy" />}
        </span>
        <StandIns of={run.stand_ins} />
      </Link>
    </li>
  )
}

function Waits({ run }: { run: RunView }) {
  return <span className="text-muted-foreground">{run.waiting_for === null ? (run.activity ?? '') : `waits for ${run.waiting_for}`}</span>
}
