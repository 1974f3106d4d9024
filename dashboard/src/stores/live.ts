/** A run as it is now: a snapshot, and what its events have changed since. Memory is bounded by the run's rounds. */
import { toast } from 'sonner'
import { createStore, type StoreApi } from 'zustand/vanilla'
import { api, ApiError, told, type Frame } from '@/api/client'
import type { RunView } from '@/api/schema'
import { setClock } from './clock'
import { factsOfSnapshot, fold, itemOf, type Folded, type Item } from './reducer'
import { continued, courseOf, NO_COURSE, type Course } from './series'
import { follow, type Connection, type World } from './stream'

const MOST_RECENT = 3_000

export interface Live {
  readonly runId: string
  readonly connection: Connection
  /** As the monitor showed it last: what is allowed, and why the rest is not. */
  readonly run: RunView | null
  readonly folded: Folded | null
  readonly course: Course
  /** The latest events, the oldest first; all of those from `recentFrom`. */
  readonly recent: readonly Item[]
  readonly recentFrom: number
  readonly error: ApiError | null
}

export type LiveStore = StoreApi<Live>

export function createLive(runId: string): LiveStore {
  return createStore<Live>(() => ({
    runId,
    connection: { kind: 'connecting' },
    run: null,
    folded: null,
    course: NO_COURSE,
    recent: [],
    recentFrom: 1,
    error: null,
  }))
}

/** Keep a store up to date until the returned function is called. */
export function keepLive(store: LiveStore, world?: World): () => void {
  const { runId } = store.getState()
  const path = { run_id: runId }
  return follow(
    runId,
    {
      cursor: () => store.getState().folded?.run.lastSeq ?? null,
      connection: (connection) => store.setState({ connection }),
      anew: (reason) => toast.info(`${reason} Everything is read anew.`),
      take: (frames) => store.setState((live) => taken(live, frames)),
      begin: async () => {
        try {
          const snapshot = await told(api.GET('/api/runs/{run_id}/snapshot', { params: { path } }))
          const series = await told(api.GET('/api/runs/{run_id}/series', { params: { path } }))
          setClock(snapshot.taken_at)
          store.setState({
            run: snapshot.run,
            folded: factsOfSnapshot(snapshot),
            course: courseOf(series),
            recent: [],
            recentFrom: snapshot.cursor + 1,
            error: null,
          })
        } catch (error) {
          if (error instanceof ApiError) store.setState({ error })
          throw error
        }
      },
    },
    world,
  )
}

/** After some frames; what came before is not taken twice. */
export function taken(live: Live, frames: readonly Frame[]): Live {
  let { run } = live
  const lastSeq = live.folded?.run.lastSeq ?? 0
  const items: Item[] = []
  let reached = lastSeq
  for (const frame of frames) {
    switch (frame.type) {
      case 'events':
        for (const recorded of frame.events) {
          if (recorded.seq <= reached) continue
          reached = recorded.seq
          items.push(itemOf(recorded))
        }
        break
      case 'run':
        run = frame.run
        setClock(frame.now)
        break
      case 'hello':
      case 'heartbeat':
        setClock(frame.now)
        break
      case 'resync':
        break
      default:
        frame satisfies never
    }
  }
  if (items.length === 0) return run === live.run ? live : { ...live, run }
  const all = [...live.recent, ...items]
  const recent = all.length > MOST_RECENT ? all.slice(all.length - MOST_RECENT) : all
  return {
    ...live,
    run,
    folded: fold(live.folded, items),
    course: continued(live.course, items),
    recent,
    recentFrom: all.length > MOST_RECENT ? recent[0]!.seq : live.recentFrom,
  }
}
