import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { useVirtualizer } from '@tanstack/react-virtual'
import { memo, useEffect, useMemo, useRef, useState } from 'react'
import { api, told, type EventType } from '@/api/client'
import { wordsQuery } from '@/api/queries'
import type { RecordedEvent } from '@/api/schema'
import { Button } from '@/components/ui/button'
import { Input, Select } from '@/components/ui/field'
import { Empty, Failed, Loading } from '@/components/ui/notice'
import { StatusShape } from '@/components/ui/status'
import { useLive, useRun, useShown } from '@/features/run/run-context'
import { count, nodeName, timeOfDay } from '@/lib/format'
import { sentence } from '@/lib/sentence'
import { cn } from '@/lib/utils'
import { itemOf, type Item } from '@/stores/reducer'
import { EMPTY, isEmpty, toneOfEvent, type EventFilter } from './filter'
import { useFresh, type Fresh } from './fresh'

const PAGE = 200
/** So many that came are a screen full: what is older is read when it is scrolled to. */
const ENOUGH = 60
const ROW = 28

interface Props {
  selected: string | null
  round: number | null
  onSelect: (item: Item) => void
  onClear: () => void
}

/** Everything that happened, in sentences, the newest first: what is there, and what comes. */
export function EventLog({ selected, round, onSelect, onClear }: Props) {
  const [text, setText] = useState('')
  const [type, setType] = useState<EventType | ''>('')
  const [beats, setBeats] = useState(false)
  const [linked, setLinked] = useState(false)
  const search = useRef<HTMLInputElement>(null)
  const words = useQuery(wordsQuery)
  const filter = useMemo<EventFilter>(
    () => ({
      ...EMPTY,
      text: text.trim(),
      types: type === '' ? [] : [type],
      nodes: linked && selected !== null ? [selected] : [],
      rounds: linked && round !== null ? [round] : [],
      heartbeats: beats || type === 'node_heartbeat',
    }),
    [text, type, linked, selected, round, beats],
  )
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const typing = event.target instanceof HTMLElement && event.target.matches('input, textarea, select')
      if (event.key === '/' && !typing) {
        event.preventDefault()
        search.current?.focus()
      }
    }
    window.addEventListener('keydown', press)
    return () => window.removeEventListener('keydown', press)
  }, [])
  const about = [selected === null ? null : nodeName(selected), round === null ? null : `round ${round}`].filter(Boolean).join(', ')
  return (
    <section aria-label="Events" className="flex h-full min-h-0 flex-col">
      <header className="flex flex-wrap items-center gap-2 border-b px-3 py-1">
        <h2 className="text-sm font-semibold">Events</h2>
        <Input
          ref={search}
          type="search"
          aria-label="Search events"
          placeholder="Search ( / )"
          value={text}
          onChange={(event) => setText(event.target.value)}
          className="h-7 w-40"
        />
        <Select aria-label="Kind of event" value={type} onChange={(event) => setType(event.target.value as EventType | '')} className="h-7 max-w-44 text-xs">
          <option value="">every kind</option>
          {Object.keys(words.data?.sentences ?? {})
            .sort()
            .map((name) => (
              <option key={name} value={name}>
                {name.replace(/_/g, ' ')}
              </option>
            ))}
        </Select>
        {about !== '' && (
          <Button size="sm" variant={linked ? 'default' : 'outline'} aria-pressed={linked} onClick={() => setLinked(!linked)}>
            Only {about}
          </Button>
        )}
        <label className="flex items-center gap-1.5 text-xs">
          <input type="checkbox" checked={beats} onChange={(event) => setBeats(event.target.checked)} />
          Heartbeats
        </label>
        {!isEmpty(filter) && (
          <Button
            size="sm"
            variant="ghost"
            onClick={() => {
              setText('')
              setType('')
              setLinked(false)
              onClear()
            }}
          >
            Clear
          </Button>
        )}
        <Export />
      </header>
      <Rows filter={filter} onSelect={onSelect} selected={selected} />
    </section>
  )
}

function Export() {
  const { runId } = useRun()
  return (
    <a
      href={`/api/runs/${encodeURIComponent(runId)}/export`}
      className="ml-auto text-xs text-primary underline-offset-2 hover:underline"
      download={`${runId}.ndjson`}
    >
      Export the log
    </a>
  )
}

function Rows({ filter, onSelect, selected }: { filter: EventFilter; onSelect: (item: Item) => void; selected: string | null }) {
  const { runId } = useRun()
  const words = useQuery(wordsQuery)
  const at = useShown((shown) => shown.at)
  const known = useLive((live) => live.folded !== null)
  const latest = useFresh(filter)
  // Who reads further down keeps what he reads; what comes meanwhile is counted.
  const [held, setHeld] = useState<Fresh | null>(null)
  const [heldFor, setHeldFor] = useState(filter)
  if (heldFor !== filter) {
    setHeldFor(filter)
    setHeld(null)
  }
  const fresh = at === null ? (held ?? latest) : null
  // What is older than what is kept here is read, page by page, when it is scrolled to.
  const before = fresh === null ? (at ?? 0) + 1 : fresh.from
  const needed = fresh === null || held !== null || fresh.items.length < ENOUGH
  const older = useInfiniteQuery({
    queryKey: ['log', runId, before, filter],
    queryFn: ({ pageParam, signal }) =>
      told(
        api.GET('/api/runs/{run_id}/events', {
          params: {
            path: { run_id: runId },
            query: {
              order: 'newest',
              before: pageParam,
              limit: PAGE,
              type: [...(filter.types.length > 0 ? filter.types : filter.heartbeats ? [] : kindsWithoutHeartbeat(words.data?.sentences))],
              node: [...filter.nodes],
              round: [...filter.rounds],
              text: filter.text,
            },
          },
          signal,
        }),
      ),
    initialPageParam: before,
    getNextPageParam: (page) => page.next_before,
    enabled: known && needed && before > 1 && words.data !== undefined,
    staleTime: Infinity,
    gcTime: 10_000,
  })
  const past = useMemo(
    () => (older.data?.pages ?? []).flatMap((page) => page.events.map((event: RecordedEvent) => itemOf(event))),
    [older.data],
  )
  const items = useMemo(() => [...(fresh?.items ?? []).toReversed(), ...(needed ? past : [])], [fresh, past, needed])
  const unseen = held === null ? 0 : latest.items.length - latest.items.findLastIndex((item) => item.seq <= held.seen) - 1
  if (words.data === undefined || !known) {
    if (words.error !== null) return <Failed error={words.error} />
    return <Loading what="The events come" />
  }
  if (items.length === 0) {
    if (older.error !== null) return <Failed error={older.error} retry={() => void older.refetch()} />
    if (older.isLoading) return <Loading what="The events come" />
    return <Empty title={isEmpty(filter) ? 'Nothing has happened yet.' : 'No event is like that.'} />
  }
  return (
    <VirtualRows
      items={items}
      say={(item) => sentence(words.data, item.event)}
      onSelect={onSelect}
      selected={selected}
      unseen={unseen}
      onFollow={(follows) => setHeld(follows ? null : (known) => known ?? latest)}
      more={older.hasNextPage ? () => void (older.isFetchingNextPage || older.fetchNextPage()) : null}
    />
  )
}

function kindsWithoutHeartbeat(sentences: Record<string, unknown> | undefined): string[] {
  return Object.keys(sentences ?? {}).filter((name) => name !== 'node_heartbeat')
}

function VirtualRows({
  items,
  say,
  onSelect,
  selected,
  unseen,
  onFollow,
  more,
}: {
  items: readonly Item[]
  say: (item: Item) => string
  onSelect: (item: Item) => void
  selected: string | null
  /** How many have come since it was scrolled down. */
  unseen: number
  onFollow: (follows: boolean) => void
  more: (() => void) | null
}) {
  const scroller = useRef<HTMLDivElement>(null)
  const rows = useVirtualizer({
    count: items.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    overscan: 6,
  })
  const shown = rows.getVirtualItems()
  const lastShown = shown.at(-1)?.index ?? 0
  useEffect(() => {
    if (more !== null && lastShown >= items.length - 20) more()
  }, [lastShown, items.length, more])
  return (
    <div className="relative min-h-0 grow">
      <div
        ref={scroller}
        role="log"
        aria-live="off"
        aria-label="Events, the newest first"
        tabIndex={0}
        className="h-full overflow-y-auto [overflow-anchor:none]"
        onScroll={(event) => onFollow(event.currentTarget.scrollTop < ROW)}
      >
        <ol style={{ height: rows.getTotalSize() }} className="relative">
          {shown.map((row) => {
            const item = items[row.index]!
            return (
              <li key={item.seq} style={{ height: ROW, transform: `translateY(${row.start}px)` }} className="absolute inset-x-0 top-0">
                <EventRow item={item} text={say(item)} chosen={item.event.node_id === selected} onSelect={onSelect} />
              </li>
            )
          })}
        </ol>
      </div>
      {unseen > 0 && (
        <Button
          size="sm"
          variant="default"
          className="absolute top-2 left-1/2 -translate-x-1/2 shadow"
          onClick={() => {
            scroller.current?.scrollTo({ top: 0 })
            onFollow(true)
          }}
        >
          {count(unseen)} new
        </Button>
      )}
    </div>
  )
}

interface EventRowProps {
  item: Item
  text: string
  chosen: boolean
  onSelect: (item: Item) => void
}

const EventRow = memo(function EventRow({ item, text, chosen, onSelect }: EventRowProps) {
  const { event } = item
  return (
    <button
      type="button"
      onClick={() => onSelect(item)}
      title={`${event.type}, event ${item.seq}`}
      className={cn('flex h-full w-full items-center gap-2 px-3 text-left hover:bg-accent/60', chosen && 'bg-accent/40')}
    >
      <time className="w-20 shrink-0 text-xs whitespace-nowrap text-muted-foreground">{timeOfDay(item.at)}</time>
      <StatusShape tone={toneOfEvent(event)} className="size-2.5" />
      <span className="min-w-0 grow truncate">{text}</span>
      {event.round > 0 && <span className="shrink-0 text-xs text-muted-foreground">round {event.round}</span>}
    </button>
  )
})
