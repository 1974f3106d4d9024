/** One connection to the monitor's stream, which comes back by itself and never asks for what it has. */
import type { Frame } from '@/api/client'
import { createBatcher } from './batcher'

export type Connection =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'live' }
  | { readonly kind: 'replaying'; readonly left: number }
  /** Nothing comes any more, since a moment of this machine's clock. */
  | { readonly kind: 'stale'; readonly since: number }
  | { readonly kind: 'reconnecting'; readonly tries: number; readonly since: number }
  | { readonly kind: 'unknown run' }

export interface Listener {
  /** Frames in their order, many at a time. */
  take: (frames: Frame[]) => void
  connection: (connection: Connection) => void
  /** Where to go on from; `null` where everything must be read anew before. */
  cursor: () => number | null
  /** Read everything anew: another database, or a cursor that it does not have. Rejects where that is not possible. */
  begin: () => Promise<void>
  /** Why it is, where it was followed before. */
  anew: (reason: string) => void
}

interface Socket {
  onopen: (() => void) | null
  onmessage: ((message: { data: unknown }) => void) | null
  onclose: ((event: { code: number }) => void) | null
  close: () => void
}

export interface World {
  now: () => number
  open: (url: string) => Socket
}

const SLACK_MS = 4_000
const LONGEST_PAUSE_MS = 10_000
const UNKNOWN_RUN = 4004
const browser: World = {
  now: () => Date.now(),
  open: (url) => new WebSocket(url) as unknown as Socket,
}

/** Follow a run, or with `null` all runs, until the returned function is called. */
export function follow(runId: string | null, listener: Listener, world: World = browser): () => void {
  let socket: Socket | undefined
  let ended = false
  let tries = 0
  let heard = world.now()
  let lostSince: number | null = null
  let heartbeatMs = 10_000
  let database: string | null = null
  let until = 0
  let retry: ReturnType<typeof setTimeout> | undefined
  const batcher = createBatcher<Frame>((frames) => {
    listener.take(frames)
    const cursor = listener.cursor()
    if (until > 0 && cursor !== null) {
      if (cursor >= until) until = 0
      listener.connection(until > 0 ? { kind: 'replaying', left: until - cursor } : { kind: 'live' })
    }
  })

  const connect = async () => {
    if (ended) return
    try {
      if (listener.cursor() === null) await listener.begin()
    } catch {
      return again()
    }
    if (ended) return
    const query = runId === null ? '' : `?run_id=${encodeURIComponent(runId)}&after=${listener.cursor() ?? 0}`
    const opened = world.open(`${location.origin.replace(/^http/, 'ws')}/api/stream${query}`)
    socket = opened
    opened.onmessage = ({ data }) => {
      if (socket === opened) hear(JSON.parse(String(data)) as Frame, opened)
    }
    opened.onclose = ({ code }) => {
      if (socket !== opened || ended) return
      socket = undefined
      if (code === UNKNOWN_RUN) {
        batcher.flush()
        listener.connection({ kind: 'unknown run' })
      } else again()
    }
  }

  const hear = (frame: Frame, from: Socket) => {
    heard = world.now()
    lostSince = null
    if (frame.type === 'hello') {
      tries = 0
      heartbeatMs = frame.heartbeat_seconds * 1000
      const another = database !== null && frame.database !== database
      database = frame.database
      if (another) return beginAnew(from, 'Another database is behind this monitor now.')
      const left = (frame.last_seq ?? 0) - frame.after
      until = left > 0 ? (frame.last_seq ?? 0) : 0
      listener.connection(left > 0 ? { kind: 'replaying', left } : { kind: 'live' })
    } else if (frame.type === 'resync') return beginAnew(from, `The monitor says: ${frame.reason}.`)
    batcher.push(frame)
  }

  const beginAnew = (from: Socket, reason: string) => {
    listener.anew(reason)
    batcher.drop()
    socket = undefined
    from.onclose = null
    from.close()
    listener.begin().then(connect, again)
  }

  const again = () => {
    if (ended) return
    batcher.flush()
    lostSince ??= heard
    tries += 1
    listener.connection({ kind: 'reconnecting', tries, since: lostSince })
    const pause = Math.min(LONGEST_PAUSE_MS, 250 * 2 ** (tries - 1)) * (0.5 + Math.random() / 2)
    clearTimeout(retry)
    retry = setTimeout(() => void connect(), pause)
  }

  /** Whether the connection is dead although nobody said so: a machine that slept, a cable that was pulled. */
  const look = () => {
    if (ended || socket === undefined) return
    if (world.now() - heard <= heartbeatMs + SLACK_MS) return
    listener.connection({ kind: 'stale', since: heard })
    const dead = socket
    socket = undefined
    dead.onclose = null
    dead.close()
    again()
  }
  const wake = () => {
    if (document.hidden) return
    batcher.flush()
    look()
    if (socket === undefined && retry !== undefined) {
      clearTimeout(retry)
      tries = 0
      void connect()
    }
  }
  const clock = setInterval(look, 2_000)
  document.addEventListener('visibilitychange', wake)
  window.addEventListener('online', wake)
  void connect()
  return () => {
    ended = true
    clearInterval(clock)
    clearTimeout(retry)
    document.removeEventListener('visibilitychange', wake)
    window.removeEventListener('online', wake)
    batcher.drop()
    socket?.close()
  }
}
