import { useInfiniteQuery } from '@tanstack/react-query'
import { ArrowDown, ArrowUp } from 'lucide-react'
import { useDeferredValue } from 'react'
import { Link, useSearchParams } from 'react-router'
import { ALL_RUNS, runsQuery, type RunFilter } from '@/api/queries'
import type { Order, RunView, State } from '@/api/schema'
import { Ago } from '@/components/moment'
import { RoundProgress } from '@/components/progress'
import { Sparkline } from '@/components/sparkline'
import { StandIns } from '@/components/stand-ins'
import { Button } from '@/components/ui/button'
import { Input } from '@/components/ui/field'
import { Command, Empty, Failed, Loading } from '@/components/ui/notice'
import { Panel } from '@/components/ui/panel'
import { RunState, StatusShape } from '@/components/ui/status'
import { Table, Td, Th, Tr } from '@/components/ui/table'
import { count, percent } from '@/lib/format'
import { toneOfState } from '@/lib/tone'
import { cn } from '@/lib/utils'
import { machine } from '@/stores/machine'

const STATES = Object.keys(machine.state_words) as State[]
const ORDERS: Order[] = ['created_at', 'last_event_at', 'run_id', 'phase', 'state', 'engine']

/** Every run there was: filtered and sorted by the monitor, and up to date. */
export function RunTable() {
  const [search, setSearch] = useSearchParams()
  const filter = filterOf(search)
  const query = useInfiniteQuery(runsQuery(useDeferredValue(filter)))
  const change = (name: string, values: string[]) =>
    setSearch(
      (before) => {
        const after = new URLSearchParams(before)
        after.delete(name)
        for (const value of values) if (value !== '') after.append(name, value)
        return after
      },
      { replace: true },
    )
  const pages = query.data?.pages
  const runs = pages?.flatMap((page) => page.runs) ?? []
  const counts = pages?.[0]?.counts ?? {}
  const states = STATES.filter((state) => (counts[state] ?? 0) > 0 || filter.state.includes(state))
  const filtered = filter.state.length > 0 || filter.text !== '' || filter.phase.length > 0
  return (
    <Panel
      title="Runs"
      className="rounded-md border bg-card"
      aside={
        <Input
          type="search"
          aria-label="Search runs by name, phase, engine or person"
          placeholder="Name, phase, engine, person"
          value={filter.text}
          onChange={(event) => change('text', [event.target.value])}
          className="h-7 w-56 max-w-full"
        />
      }
    >
      {states.length > 0 && (
        <div role="group" aria-label="States" className="flex flex-wrap gap-1 border-b px-3 py-2">
          {states.map((state) => {
            const chosen = filter.state.includes(state)
            return (
              <Button
                key={state}
                size="sm"
                variant={chosen ? 'outline' : 'ghost'}
                aria-pressed={chosen}
                className={cn(chosen && 'bg-accent')}
                onClick={() => change('state', chosen ? filter.state.filter((each) => each !== state) : [...filter.state, state])}
              >
                <StatusShape tone={toneOfState(state)} /> {state} <span className="text-muted-foreground">{count(counts[state] ?? 0)}</span>
              </Button>
            )
          })}
        </div>
      )}
      {query.isPending ? (
        <Loading what="The runs come" />
      ) : runs.length === 0 && query.error !== null ? (
        <Failed error={query.error} retry={() => void query.refetch()} />
      ) : runs.length === 0 ? (
        filtered ? (
          <Empty title="No run is like that.">
            <Button size="sm" onClick={() => setSearch({}, { replace: true })}>
              Show all
            </Button>
          </Empty>
        ) : (
          <NoRuns />
        )
      ) : (
        <>
          <Table label="Runs">
            <thead>
              <tr>
                <Sortable name="state" label="State" filter={filter} change={setSearch} />
                <Sortable name="run_id" label="Run" filter={filter} change={setSearch} />
                <Sortable name="phase" label="Phase" filter={filter} change={setSearch} />
                <Sortable name="engine" label="Engine" filter={filter} change={setSearch} />
                <Th>Rounds</Th>
                <Th className="text-right">Accuracy</Th>
                <Th className="text-right">Balanced</Th>
                <Th>Course</Th>
                <Sortable name="created_at" label="Asked for" filter={filter} change={setSearch} />
                <Th>By</Th>
              </tr>
            </thead>
            <tbody>
              {runs.map((run) => (
                <RunRow key={run.run_id} run={run} />
              ))}
            </tbody>
          </Table>
          {query.hasNextPage && (
            <div className="p-2 text-center">
              <Button size="sm" disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
                Show more
              </Button>
            </div>
          )}
        </>
      )}
    </Panel>
  )
}

function filterOf(search: URLSearchParams): RunFilter {
  const sort = search.get('sort') as Order
  return {
    ...ALL_RUNS,
    state: search.getAll('state').filter((each): each is State => STATES.includes(each as State)),
    phase: search.getAll('phase'),
    engine: search.getAll('engine'),
    text: search.get('text') ?? '',
    sort: ORDERS.includes(sort) ? sort : 'created_at',
    ascending: search.get('ascending') === '1',
  }
}

function Sortable({
  name,
  label,
  filter,
  change,
}: {
  name: Order
  label: string
  filter: RunFilter
  change: ReturnType<typeof useSearchParams>[1]
}) {
  const sorted = filter.sort === name
  const turn = () =>
    change(
      (before) => {
        const after = new URLSearchParams(before)
        after.set('sort', name)
        if (sorted && !filter.ascending) after.set('ascending', '1')
        else after.delete('ascending')
        return after
      },
      { replace: true },
    )
  return (
    <Th aria-sort={sorted ? (filter.ascending ? 'ascending' : 'descending') : undefined}>
      <button type="button" onClick={turn} className="inline-flex items-center gap-1 hover:text-foreground">
        {label}
        {sorted && (filter.ascending ? <ArrowUp className="size-3" aria-hidden /> : <ArrowDown className="size-3" aria-hidden />)}
      </button>
    </Th>
  )
}

function RunRow({ run }: { run: RunView }) {
  const accuracy = run.metrics.accuracy
  const balanced = run.metrics.balanced_accuracy
  return (
    <Tr>
      <Td>
        <RunState state={run.state} stalled={run.stalled} />
      </Td>
      <Td className="max-w-72">
        <Link to={`/runs/${run.run_id}`} className="block truncate font-mono text-xs underline-offset-2 hover:underline" title={run.run_id}>
          {run.run_id}
        </Link>
        <StandIns of={run.stand_ins} />
      </Td>
      <Td>{run.phase ?? '–'}</Td>
      <Td>{run.engine ?? '–'}</Td>
      <Td>
        <RoundProgress round={run.round} total={run.rounds_total} />
      </Td>
      <Td className="text-right">{accuracy === undefined ? '–' : percent(accuracy)}</Td>
      <Td className="text-right">{balanced === undefined ? '–' : percent(balanced)}</Td>
      <Td>
        <Sparkline values={run.history.values} label={`Course of the accuracy of ${run.run_id}`} />
      </Td>
      <Td>
        <Ago at={run.created_at} />
      </Td>
      <Td className="max-w-40 truncate">{run.requested_by ?? '–'}</Td>
    </Tr>
  )
}

function NoRuns() {
  return (
    <Empty title="There has been no run yet.">
      <p className="mb-2">
        This starts one, with generated images and an untrained backbone, in a minute:
      </p>
      <Command>{`fedforge run blood --data phantom --backbone untrained --monitor ${location.origin}`}</Command>
      <p className="mt-3">
        Or <Link to="/start" className="text-primary underline">start one here</Link>.
      </p>
    </Empty>
  )
}
