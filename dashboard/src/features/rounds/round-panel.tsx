import { useQuery } from '@tanstack/react-query'
import { ChevronLeft, ChevronRight } from 'lucide-react'
import { useMemo } from 'react'
import { everyEvent } from '@/api/told-events'
import { Button } from '@/components/ui/button'
import { Empty, Failed, Loading } from '@/components/ui/notice'
import { useLive, useRun, useShown } from '@/features/run/run-context'
import { byNode, duration, metricName, nodeName, percent, shortHash } from '@/lib/format'
import { cn } from '@/lib/utils'
import { itemOf, type Item } from '@/stores/reducer'
import { waterfallOf, type Lane, type Waterfall, type Work } from './waterfall'

const COLOURS: Record<Work, string> = {
  transfer: 'var(--status-waiting)',
  train: 'var(--status-running)',
  evaluate: 'var(--status-answering)',
  aggregate: 'var(--status-completed)',
  checkpoint: 'var(--status-paused)',
  failed: 'var(--status-failed)',
}

const WORDS: Record<Work, string> = {
  transfer: 'way and waiting',
  train: 'training',
  evaluate: 'evaluation',
  aggregate: 'aggregation',
  checkpoint: 'checkpoint',
  failed: 'failed',
}

/** A round, site by site: who spent which second in what. */
export function RoundPanel({
  chosen,
  selected,
  onChoose,
  onSelect,
}: {
  /** `null` for the latest. */
  chosen: number | null
  selected: string | null
  onChoose: (round: number | null) => void
  onSelect: (nodeId: string) => void
}) {
  const current = useShown((shown) => shown.folded?.run.round ?? 0)
  const round = chosen ?? current
  const facts = useShown((shown) => shown.folded?.rounds.get(round))
  if (current === 0) return <Empty title="No round has begun yet." />
  return (
    <div className="flex flex-col gap-2 px-3 py-2">
      <div className="flex flex-wrap items-center gap-2">
        <Button size="icon" variant="ghost" aria-label="The round before" disabled={round <= 1} onClick={() => onChoose(round - 1)}>
          <ChevronLeft aria-hidden />
        </Button>
        <p className="font-medium">Global round {round}</p>
        <Button size="icon" variant="ghost" aria-label="The next round" disabled={round >= current} onClick={() => onChoose(round + 1)}>
          <ChevronRight aria-hidden />
        </Button>
        {chosen !== null && (
          <Button size="sm" variant="ghost" onClick={() => onChoose(null)}>
            Latest
          </Button>
        )}
        <p className="ml-auto text-xs text-muted-foreground">
          {facts === undefined
            ? ''
            : [
                facts.attempt > 1 ? `attempt ${facts.attempt}` : null,
                facts.modelSha256 === null ? null : `model ${shortHash(facts.modelSha256)}`,
                facts.metrics.accuracy === undefined ? null : `${metricName('accuracy')} ${percent(facts.metrics.accuracy)}`,
              ]
                .filter(Boolean)
                .join(' · ')}
        </p>
      </div>
      <RoundWaterfall round={round} selected={selected} onSelect={onSelect} />
    </div>
  )
}

function RoundWaterfall({ round, selected, onSelect }: { round: number; selected: string | null; onSelect: (nodeId: string) => void }) {
  const { waterfall, error, pending } = useWaterfall(round)
  if (waterfall === null) {
    if (error !== null) return <Failed error={error} />
    return pending ? <Loading what="The round comes" /> : <Empty title="Nothing is kept of this round." />
  }
  return <Lanes waterfall={waterfall} selected={selected} onSelect={onSelect} />
}

/** Of the latest round as it goes on, of another as it was. */
export function useWaterfall(round: number): { waterfall: Waterfall | null; error: Error | null; pending: boolean } {
  const { runId } = useRun()
  const at = useShown((shown) => shown.at)
  const begunHere = useLive((live) => begins(live.recent, round))
  const recent = useLive((live) => (begunHere === null ? null : live.recent))
  const completed = useShown((shown) => shown.folded?.rounds.get(round)?.completedAt ?? null)
  const stored = useQuery({
    queryKey: ['round', runId, round, completed],
    queryFn: async ({ signal }) => (await everyEvent(runId, { round: [round] }, signal)).map(itemOf),
    enabled: begunHere === null && round > 0,
    staleTime: Infinity,
    gcTime: 10_000,
    refetchInterval: completed === null && at === null ? 3_000 : false,
  })
  const items = begunHere !== null ? recent : (stored.data ?? null)
  const waterfall = useMemo(() => {
    if (items === null) return null
    const shown = items.filter((item) => item.event.round === round && (at === null || item.seq <= at))
    return waterfallOf(shown)
  }, [items, round, at])
  return { waterfall, error: stored.error, pending: stored.isPending && begunHere === null }
}

/** Where in the latest events a round begins; `null` where not all of it is there. */
function begins(recent: readonly Item[], round: number): number | null {
  for (let place = recent.length - 1; place >= 0; place--) {
    const { event } = recent[place]!
    if (event.type === 'round_started' && event.round === round) return place
    if (event.round < round && event.type === 'round_completed') return null
  }
  return null
}

function Lanes({ waterfall, selected, onSelect }: { waterfall: Waterfall; selected: string | null; onSelect: (nodeId: string) => void }) {
  const lanes = waterfall.lanes.toSorted((a, b) => byNode(a.node, b.node))
  const used = new Set(lanes.flatMap((lane) => lane.spans.map((span) => span.work)))
  return (
    <div>
      <ul aria-label="Colours" className="flex flex-wrap gap-x-3 gap-y-1 pb-1.5 text-xs text-muted-foreground">
        {(Object.keys(WORDS) as Work[])
          .filter((work) => used.has(work))
          .map((work) => (
            <li key={work} className="flex items-center gap-1.5">
              <span aria-hidden="true" className="size-2.5 rounded-xs" style={{ background: COLOURS[work] }} />
              {WORDS[work]}
            </li>
          ))}
        <li className="ml-auto">{duration(waterfall.milliseconds / 1000)} in all</li>
      </ul>
      <ul className="flex flex-col">
        {lanes.map((lane) => (
          <LaneRow key={lane.node} lane={lane} whole={waterfall.milliseconds} chosen={lane.node === selected} onSelect={onSelect} />
        ))}
      </ul>
    </div>
  )
}

export function LaneRow({ lane, whole, chosen, onSelect }: { lane: Lane; whole: number; chosen: boolean; onSelect?: (nodeId: string) => void }) {
  const said = lane.spans.map((span) => `${WORDS[span.work]} ${duration((span.until - span.from) / 1000)}`).join(', ')
  return (
    <li className={cn('flex items-center gap-2 rounded-sm', chosen && 'bg-accent')}>
      <button
        type="button"
        className="w-20 shrink-0 truncate px-1 py-1 text-left text-xs hover:underline"
        onClick={() => onSelect?.(lane.node)}
        disabled={onSelect === undefined}
      >
        {nodeName(lane.node)}
      </button>
      <svg viewBox="0 0 1000 16" preserveAspectRatio="none" className="h-4 min-w-0 grow bg-muted" role="img" aria-label={said}>
        {lane.spans.map((span) => (
          <rect
            key={`${span.work} ${span.from}`}
            x={(1000 * Math.max(0, span.from)) / whole}
            width={Math.max(2, (1000 * (span.until - span.from)) / whole)}
            y={span.work === 'transfer' ? 6 : 2}
            height={span.work === 'transfer' ? 4 : 12}
            fill={COLOURS[span.work]}
          >
            <title>{`${WORDS[span.work]} ${duration((span.until - span.from) / 1000)}`}</title>
          </rect>
        ))}
      </svg>
    </li>
  )
}
