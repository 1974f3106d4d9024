import { Suspense, useCallback, useEffect, useRef, useState } from 'react'
import { useParams, useSearchParams } from 'react-router'
import { isBlind } from '@/components/connection-pill'
import { Empty, Failed, Loading } from '@/components/ui/notice'
import { Tabs, TabsContent, TabsList, TabsTrigger } from '@/components/ui/tabs'
import { Metrics } from '@/features/charts/metrics'
import { EventLog } from '@/features/events/event-log'
import { NodeDrawer } from '@/features/node/node-drawer'
import { SiteTable } from '@/features/node/site-table'
import { Result } from '@/features/result/result'
import { RoundPanel } from '@/features/rounds/round-panel'
import { Scrubber } from '@/features/travel/scrubber'
import { cn } from '@/lib/utils'
import { useWide } from '@/lib/wide'
import type { Item } from '@/stores/reducer'
import { showNothing } from './favicon'
import { RunHeader } from './run-header'
import { RunProvider, useLive, useRun, useShown, useSites } from './run-context'
import { Stages } from './stages'
import { patientLazy } from '@/lib/patient-import'

const Topology = patientLazy(() => import('@/features/topology/topology'))

export default function RunPage() {
  const { runId } = useParams()
  return (
    <RunProvider key={runId} runId={runId!}>
      <Page />
    </RunProvider>
  )
}

/** What is chosen stands in the address, so that a link shows the same screen. */
function useChosen() {
  const [search, setSearch] = useSearchParams()
  const navigate = useRef(setSearch)
  useEffect(() => {
    navigate.current = setSearch
  }, [setSearch])
  const set = useCallback((changes: Record<string, string | null>) => {
    // From the address as it is now: what the router hands to a callback is that of the last drawing.
    const after = new URLSearchParams(window.location.search)
    const before = after.toString()
    for (const [name, value] of Object.entries(changes)) {
      if (value === null) after.delete(name)
      else after.set(name, value)
    }
    if (after.toString() !== before) navigate.current(after, { replace: true })
  }, [])
  const round = Number(search.get('round'))
  return {
    node: search.get('node'),
    round: Number.isInteger(round) && round > 0 ? round : null,
    tab: search.get('tab'),
    at: search.get('at'),
    set,
  }
}

function Page() {
  const chosen = useChosen()
  const { set } = chosen
  const known = useLive((live) => live.folded !== null)
  const error = useLive((live) => live.error)
  const wide = useWide()
  const stale = useLive((live) => isBlind(live.connection) && live.connection.kind !== 'connecting')
  const sites = useSites()
  const [content, setContent] = useState<HTMLElement | null>(null)
  useTimeInAddress(chosen.at, set)
  useEffect(() => showNothing, [])
  useEffect(() => {
    // Read while the monitor is there, so that the first round's curves need it no more.
    import('@/features/charts/chart').catch(() => undefined)
  }, [])
  const select = useCallback((node: string) => set({ node }), [set])
  const selectItem = useCallback(
    (item: Item) =>
      set({
        node: item.event.node_id === 'monitor' ? null : item.event.node_id,
        round: item.event.round > 0 ? String(item.event.round) : null,
      }),
    [set],
  )
  const selectRound = useCallback((round: number | null) => set({ round: round === null ? null : String(round) }), [set])
  if (!known) {
    if (error?.status === 404) return <Empty title="The monitor does not have this run.">{error.message}</Empty>
    return error === null ? <Loading what="The run comes" /> : <Failed error={error} />
  }
  const log = (
    <EventLog selected={chosen.node} round={chosen.round} onSelect={selectItem} onClear={() => set({ node: null, round: null })} />
  )
  const graph = sites.length === 0 ? <Stages /> : (
    <Suspense fallback={<Loading what="The picture comes" />}>
      <Topology selected={chosen.node} onSelect={select} />
    </Suspense>
  )
  const tabs: [string, string, React.ReactNode][] = [
    ['metrics', 'Metrics', <Metrics key="metrics" selected={chosen.node} onSelectRound={selectRound} />],
    [
      'rounds',
      'Rounds',
      <RoundPanel key="rounds" chosen={chosen.round} selected={chosen.node} onChoose={selectRound} onSelect={select} />,
    ],
    ['sites', 'Sites', <SiteTable key="sites" selected={chosen.node} onSelect={select} />],
    ['result', 'Result', <Result key="result" />],
  ]
  const narrowTabs: typeof tabs = [tabs[2]!, tabs[0]!, tabs[1]!, ['events', 'Events', <div key="events" className="h-[70vh]">{log}</div>], tabs[3]!]
  return (
    <div className={cn('flex min-h-0 grow flex-col', stale && 'grayscale')} data-stale={stale || undefined}>
      <RunHeader />
      {wide ? (
        <div className="grid min-h-[36rem] grow grid-rows-[minmax(18rem,1fr)_auto_minmax(12rem,15rem)] lg:h-0">
          <div ref={setContent} className="relative grid min-h-0 grid-cols-[minmax(0,56fr)_minmax(0,44fr)]">
            <section aria-label="Server and sites" className="min-h-0 border-r">
              {graph}
            </section>
            <TabbedPanels tabs={tabs} chosen={chosen.tab} onChoose={(tab) => set({ tab })} />
          </div>
          <Scrubber />
          {log}
        </div>
      ) : (
        <>
          <Scrubber />
          <TabbedPanels tabs={narrowTabs} chosen={chosen.tab} onChoose={(tab) => set({ tab })} />
        </>
      )}
      {chosen.node !== null && <NodeDrawer key={String(wide)} container={content} nodeId={chosen.node} onClose={() => set({ node: null })} />}
    </div>
  )
}

function TabbedPanels({ tabs, chosen, onChoose }: { tabs: [string, string, React.ReactNode][]; chosen: string | null; onChoose: (tab: string) => void }) {
  const completed = useShown((shown) => shown.folded?.run.control.state === 'completed')
  const fallback = completed && tabs[0]![0] === 'metrics' ? 'result' : tabs[0]![0]
  const value = tabs.some(([name]) => name === chosen) ? chosen! : fallback
  return (
    <Tabs value={value} onValueChange={onChoose} className="flex min-h-0 min-w-0 flex-col bg-card">
      <TabsList aria-label="What is shown of the run">
        {tabs.map(([name, title]) => (
          <TabsTrigger key={name} value={name}>
            {title}
          </TabsTrigger>
        ))}
      </TabsList>
      {tabs.map(([name, , content]) => (
        <TabsContent key={name} value={name} className="grow overflow-y-auto outline-none">
          {content}
        </TabsContent>
      ))}
    </Tabs>
  )
}

/** The moment that is shown is in the address, and the address's is shown. */
function useTimeInAddress(wished: string | null, set: (changes: Record<string, string | null>) => void): void {
  const { travel } = useRun()
  const known = useLive((live) => live.folded !== null)
  const at = useShown((shown) => shown.at)
  const playing = useShown((shown) => shown.playing)
  const arrived = useRef(false)
  useEffect(() => {
    if (!known || arrived.current) return
    arrived.current = true
    const seq = Number(wished)
    if (wished !== null && Number.isInteger(seq) && seq > 0) void travel.to(seq)
  }, [known, wished, travel])
  useEffect(() => {
    if (!arrived.current || playing) return
    if (at === null && travel.shown.getState().loading) return
    const timer = setTimeout(() => set({ at: at === null ? null : String(at) }), 200)
    return () => clearTimeout(timer)
  }, [at, playing, set, travel])
}
