import { useQuery } from '@tanstack/react-query'
import { useEffect, type ReactNode } from 'react'
import { Link } from 'react-router'
import type { EventOf } from '@/api/client'
import { attentionQuery } from '@/api/queries'
import type { AttentionKind, State } from '@/api/schema'
import { latestOf, useToldEvents } from '@/api/told-events'
import { ConnectionPill } from '@/components/connection-pill'
import { standInWords } from '@/components/stand-ins'
import { Bar } from '@/components/ui/bar'
import { Button } from '@/components/ui/button'
import { Notice } from '@/components/ui/notice'
import { RunState } from '@/components/ui/status'
import { Controls, LatestCommand } from '@/features/controls/controls'
import { capitalised, count, duration, moment, nodeName, percent, points } from '@/lib/format'
import { conditionOf, standInsOf } from '@/stores/reducer'
import { machine } from '@/stores/machine'
import { showState } from './favicon'
import { DESCRIBING, STAGE_EVENTS } from './description'
import { useLive, useMoment, useRun, useShown, useSites } from './run-context'

/** What the run is, how far it is, and what can be done with it. */
export function RunHeader() {
  const { runId, live } = useRun()
  const connection = useLive((state) => state.connection)
  const described = useToldEvents(live, DESCRIBING)
  const at = useShown((shown) => shown.at)
  const run = useShown((shown) => shown.folded?.run)
  const view = useLive((state) => state.run)
  const state = run?.control.state
  const shownState: State | undefined = at === null ? view?.state : state
  useEffect(() => {
    if (shownState !== undefined) showState(shownState, at === null && (view?.stalled ?? false))
  }, [shownState, at, view?.stalled])
  const about = latestOf(described.data, 'run_described', at)
  return (
    <header className="border-b bg-card">
      <title>{`${shownState ?? 'run'} ${run?.roundsTotal ? `${run.round}/${run.roundsTotal} ` : ''}· ${runId} – FedForge`}</title>
      {at === null && view !== null && (
        <p role="status" className="sr-only">
          The run is {view.stalled ? 'stalled' : view.state}.
        </p>
      )}
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2 px-3 py-2 sm:px-4">
        <div className="flex min-w-0 items-center gap-2">
          <nav aria-label="Where you are" className="text-muted-foreground">
            <Link to="/" className="hover:text-foreground">
              Runs
            </Link>{' '}
            /
          </nav>
          <h1 className="min-w-0 truncate font-mono text-sm font-medium" title={runId}>
            {runId}
          </h1>
        </div>
        <ConnectionPill connection={connection} />
        {at !== null && <Past />}
        <div className="ml-auto">
          <Controls />
        </div>
      </div>
      <Kpis />
      <div className="flex flex-wrap items-center gap-x-4 gap-y-1 px-3 pb-2 text-xs text-muted-foreground sm:px-4">
        {about !== undefined && <MadeOf about={about} />}
        <span className="ml-auto">
          <LatestCommand />
        </span>
      </div>
      {about !== undefined && <Warnings about={about} />}
      <Trouble />
    </header>
  )
}

/** That this is not now: so that nobody takes an old state for the present one. */
function Past() {
  const { travel } = useRun()
  const shownAt = useShown((shown) => shown.moment)
  return (
    <Button variant="default" size="sm" onClick={() => travel.backToLive()}>
      Past: {shownAt === null ? '' : moment(shownAt)} · back to live
    </Button>
  )
}

function Kpis() {
  const run = useShown((shown) => shown.folded?.run)
  const view = useLive((live) => live.run)
  const at = useShown((shown) => shown.at)
  if (run === undefined) return null
  const live = at === null
  return (
    <dl className="flex flex-wrap items-center gap-x-6 gap-y-1 px-3 pb-1.5 sm:px-4">
      <Kpi name="State">
        <RunState state={live && view !== null ? view.state : run.control.state} stalled={live && view?.stalled === true} />
        <Doing />
      </Kpi>
      <Kpi name="Global round">
        <Rounds round={run.round} total={run.roundsTotal} />
      </Kpi>
      <Time />
      <Accuracy />
      <SiteCount />
      {run.control.attempt > 1 && <Kpi name="Attempt">{run.control.attempt}</Kpi>}
    </dl>
  )
}

function Kpi({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="flex items-baseline gap-1.5 whitespace-nowrap">
      <dt className="text-xs text-muted-foreground">{name}</dt>
      <dd className="flex items-center gap-2">{children}</dd>
    </div>
  )
}

/** What the run is at; where it stalls, what it waits for. */
function Doing() {
  const view = useLive((live) => live.run)
  const live = useShown((shown) => shown.at === null)
  const activity = useShown((shown) => shown.folded?.run.activity)
  const stage = useStage()
  if (live && view?.waiting_for) return <span className="text-muted-foreground">waits for {view.waiting_for}</span>
  if (live && view?.stalled) return <StalledSince />
  if (stage !== null) return <span className="text-muted-foreground">{stage}</span>
  return activity == null ? null : <span className="text-muted-foreground">{activity}</span>
}

function StalledSince() {
  const view = useLive((live) => live.run)
  const now = useMoment()
  if (view?.progress_at == null) return null
  const silent = (now - Date.parse(view.progress_at)) / 1000
  return (
    <span className="text-muted-foreground">
      at {view.activity ?? 'nothing known'}: nothing but heartbeats for {duration(silent)} (patience {duration(view.patience_seconds)})
    </span>
  )
}

/** How far a stage of preparation or of what comes after is. */
function useStage(): string | null {
  const { live } = useRun()
  const { data } = useToldEvents(live, STAGE_EVENTS)
  const at = useShown((shown) => shown.at)
  const latest = latestOf(data, 'stage_progress', at)
  const activity = useShown((shown) => shown.folded?.run.activity)
  if (latest?.status !== 'running' || latest.stage !== activity) return null
  const done = latest.total ? ` ${count(latest.done ?? 0)} of ${count(latest.total)} ${latest.unit ?? ''}` : ''
  const left = latest.seconds_left == null ? '' : `, about ${duration(latest.seconds_left)} left`
  return `${latest.stage}${done}${left}`
}

function Rounds({ round, total }: { round: number; total: number | null }) {
  if (total === null) return <>{round === 0 ? '–' : round}</>
  return (
    <>
      <span>
        <span className="text-base font-semibold">{round}</span> of {total}
      </span>
      <Bar value={round} max={total} label="Rounds" className="w-28" />
    </>
  )
}

function Time() {
  const run = useShown((shown) => shown.folded?.run)
  const rounds = useShown((shown) => shown.folded?.rounds)
  const seconds = useShown((shown) => shown.course.rounds)
  const now = useMoment()
  if (run === undefined) return null
  const ended = machine.ended.includes(run.control.state)
  const until = ended ? (run.lastEventAt ?? now) : now
  const left = ended || run.roundsTotal === null ? null : leftSeconds([...seconds.values()], rounds?.size ?? 0, run)
  return (
    <Kpi name="Time">
      <span title={`asked for ${moment(run.createdAt)}`}>{duration(Math.max(0, until - run.createdAt) / 1000)}</span>
      {left !== null && <span className="text-muted-foreground">about {duration(left)} left</span>}
    </Kpi>
  )
}

/** By the median of the latest ten rounds. */
function leftSeconds(
  rounds: readonly Readonly<Record<string, number | null>>[],
  begun: number,
  { round, roundsTotal }: { round: number; roundsTotal: number | null },
): number | null {
  const latest = rounds.flatMap(({ seconds }) => (seconds == null ? [] : [seconds])).slice(-10)
  if (latest.length === 0 || roundsTotal === null || begun === 0) return null
  const median = latest.toSorted((a, b) => a - b)[Math.floor(latest.length / 2)]!
  return (roundsTotal - round + (rounds.length < round ? 1 : 0)) * median
}

function Accuracy() {
  const rounds = useShown((shown) => shown.course.rounds)
  const values = [...rounds.values()].flatMap(({ accuracy }) => (accuracy == null ? [] : [accuracy]))
  const latest = values.at(-1)
  if (latest === undefined) return null
  const before = values.at(-2)
  return (
    <Kpi name="Accuracy">
      <span className="text-base font-semibold">{percent(latest)}</span>
      {before !== undefined && (
        <span className="text-muted-foreground" title="against the round before, in points of a hundred">
          {points(latest - before)}
        </span>
      )}
    </Kpi>
  )
}

function SiteCount() {
  const sites = useSites()
  const nodes = useShown((shown) => shown.folded?.nodes)
  const clients = useShown((shown) => shown.folded?.run.clients)
  const now = useMoment()
  if (sites.length === 0 && clients == null) return null
  const well = sites.filter((site) => {
    const node = nodes?.get(site)
    return node !== undefined && !['failed', 'silent', 'offline'].includes(conditionOf(node, now))
  })
  return (
    <Kpi name="Sites">
      <span className={well.length < sites.length ? 'text-destructive' : ''}>
        {well.length} of {clients ?? sites.length} healthy
      </span>
    </Kpi>
  )
}

function MadeOf({ about }: { about: EventOf<'run_described'> }) {
  const engine = useShown((shown) => shown.folded?.run.engine)
  const { data, backbone, partition, code } = about
  return (
    <span>
      {[
        data.title,
        backbone.name.startsWith('/') ? (backbone.name.split('/').findLast((part) => part !== '') ?? backbone.name) : backbone.name,
        partition === null ? null : `partition ${partition.name}`,
        engine === null ? null : `engine ${engine}`,
        code.commit === null ? `version ${code.version}` : `code ${code.commit.slice(0, 10)}`,
      ]
        .filter((each) => each !== null)
        .join(' · ')}
    </span>
  )
}

function Warnings({ about }: { about: EventOf<'run_described'> }) {
  const { data, backbone } = about
  const standIns = standInsOf(about)
  if (standIns.length === 0) return null
  return (
    <Notice
      tone="warning"
      title={standInWords(standIns)}
      className="py-1"
    >
      {[
        data.phantom ? 'The images are generated: no number here says anything of medicine.' : null,
        backbone.trained ? null : "The backbone's weights are random: scores are far below those of a trained one.",
      ]
        .filter(Boolean)
        .join(' ')}
    </Notice>
  )
}

/** What the rest of the page does not say already. */
const SHOWN_NEEDS: ReadonlySet<AttentionKind> = new Set(['missing_events', 'silent_site'])

function Trouble() {
  const view = useLive((live) => live.run)
  const error = useLive((live) => (live.folded === null ? null : live.error))
  const { runId } = useRun()
  const { data: attention } = useQuery(attentionQuery)
  const needs = attention?.needs.filter(({ kind, run_id }) => run_id === runId && SHOWN_NEEDS.has(kind)) ?? []
  const live = useShown((shown) => shown.at === null)
  const travel = useShown((shown) => shown.error)
  return (
    <>
      {error !== null && (
        <Notice tone="error" title="The monitor could not be read" role="alert">
          {error.message}
        </Notice>
      )}
      {travel !== null && (
        <Notice tone="error" title="The past could not be read" role="alert">
          {travel.message}
        </Notice>
      )}
      {live && view?.state === 'failed' && (
        <Notice tone="error" title="The run has failed">
          {view.reason}
        </Notice>
      )}
      {live && view?.state === 'stopped' && <Notice tone="info" title={capitalised(view.reason ?? 'stopped')} />}
      {live && view?.state === 'lost' && (
        <Notice tone="error" title="Nothing is heard of this run">
          {view.claimable
            ? 'Whoever carried it out is silent. It goes on when an agent claims it again.'
            : 'Its process is gone, or cannot reach the monitor. Resume it, or look at the machine it ran on.'}
        </Notice>
      )}
      {live &&
        needs.map((need) => (
          <Notice key={`${need.kind} ${need.node_id ?? ''}`} tone="warning" title={`${need.node_id === null ? '' : `${nodeName(need.node_id)}: `}${need.what}`}>
            {need.next_step}
          </Notice>
        ))}
    </>
  )
}
