/** What a run page shows: the run as it is now, or as it was at a place of its past, from the same reducer. */
import { createStore, type StoreApi } from 'zustand/vanilla'
import { api, ApiError, told } from '@/api/client'
import type { LiveStore } from './live'
import type { Folded } from './reducer'
import { NO_COURSE, type Course } from './series'
import { Replay } from './timeline'

export interface Shown {
  /** `null` while it is live; else the `seq` up to which events are shown. */
  readonly at: number | null
  /** When the latest event that is shown was received; `null` while it is live. */
  readonly moment: number | null
  readonly folded: Folded | null
  readonly course: Course
  readonly loading: boolean
  readonly playing: boolean
  readonly error: ApiError | null
}

export type ShownStore = StoreApi<Shown>

const PART = 50_000
const FRAME_MS = 100
/** A second of watching is so many seconds of the run. */
export const SPEEDS = [1, 4, 16, 64] as const

export class Travel {
  readonly shown: ShownStore
  private readonly live: LiveStore
  private replay: Replay | null = null
  private coming: Promise<Replay> | null = null
  private count = 0
  private timer: ReturnType<typeof setInterval> | undefined
  private speed: number = SPEEDS[1]
  private unsubscribe: (() => void) | undefined

  constructor(live: LiveStore) {
    this.live = live
    this.shown = createStore<Shown>(() => ({
      at: null,
      moment: null,
      folded: live.getState().folded,
      course: live.getState().course,
      loading: false,
      playing: false,
      error: null,
    }))
  }

  /** Go with the run as it is now, until `end`. */
  start(): void {
    this.unsubscribe?.()
    this.unsubscribe = this.live.subscribe(({ folded, course }) => {
      if (this.shown.getState().at === null) this.shown.setState({ folded, course })
    })
  }

  end(): void {
    this.unsubscribe?.()
    this.halt()
  }

  /** Show the run as its events up to `seq` have left it. */
  async to(seq: number): Promise<void> {
    await this.go((replay) => replay.countUpTo(seq))
  }

  /** Show the run as it was at a moment of the monitor's clock. */
  async toMoment(moment: number): Promise<void> {
    await this.go((replay) => replay.countUntil(moment))
  }

  /** One event on or back, of those that are shown. */
  async step(by: 1 | -1): Promise<void> {
    await this.go((replay) => (this.travelling ? this.count : replay.length) + by)
  }

  async stepRound(by: 1 | -1): Promise<void> {
    await this.go((replay) => replay.roundBoundary(this.travelling ? this.count : replay.length, by))
  }

  backToLive(): void {
    this.halt()
    this.replay = this.coming = null // its memory is given back
    const { folded, course } = this.live.getState()
    this.shown.setState({ at: null, moment: null, folded, course, loading: false, error: null })
  }

  /** Let time go on from where it stands. */
  async play(speed: number): Promise<void> {
    this.halt()
    this.speed = speed
    const replay = await this.load()
    if (replay === null) return
    if (!this.travelling || this.count >= replay.length) this.show(replay, 1)
    this.shown.setState({ playing: true })
    let moment = this.shown.getState().moment ?? 0
    this.timer = setInterval(() => {
      moment += FRAME_MS * this.speed
      const following = replay.place(this.count)
      if (following === undefined) return this.halt()
      if (following.at - moment > 2_000 * this.speed) moment = following.at // nobody watches a pause
      const count = replay.countUntil(moment)
      if (count > this.count) this.show(replay, count)
    }, FRAME_MS)
  }

  halt(): void {
    clearInterval(this.timer)
    this.timer = undefined
    this.shown.setState({ playing: false })
  }

  private get travelling(): boolean {
    return this.shown.getState().at !== null
  }

  private async go(place: (replay: Replay) => number): Promise<void> {
    const replay = await this.load()
    if (replay !== null) this.show(replay, place(replay))
  }

  private show(replay: Replay, wanted: number): void {
    this.count = Math.max(1, Math.min(wanted, replay.length))
    const last = replay.place(this.count - 1)
    if (last === undefined) return
    const folded = replay.state(this.count)
    this.shown.setState({
      at: last.seq,
      moment: last.at,
      folded,
      course: folded === null ? NO_COURSE : courseUntil(this.live.getState().course, folded),
    })
  }

  private async load(): Promise<Replay | null> {
    const known = this.replay
    const lastSeq = this.live.getState().folded?.run.lastSeq ?? 0
    const inside = this.travelling && known !== null && this.count < known.length - 1
    if (known !== null && (inside || known.readUntil >= lastSeq)) return known
    this.shown.setState({ loading: true, error: null })
    try {
      this.coming ??= this.read(known ?? new Replay())
      this.replay = await this.coming
      return this.replay
    } catch (error) {
      this.shown.setState({ error: error as ApiError })
      return null
    } finally {
      this.coming = null
      this.shown.setState({ loading: false })
    }
  }

  private async read(replay: Replay): Promise<Replay> {
    let after: number | null = replay.readUntil
    while (after !== null) {
      const part: Awaited<ReturnType<typeof this.part>> = await this.part(after)
      replay.append(part)
      after = part.next_after
    }
    return replay
  }

  private part(after: number) {
    const path = { run_id: this.live.getState().runId }
    return told(api.GET('/api/runs/{run_id}/timeline', { params: { path, query: { after, limit: PART } } }))
  }
}

/** Of the course so far only the rounds that were done by then. */
function courseUntil(course: Course, { rounds }: Folded): Course {
  const done = (round: number) => rounds.get(round)?.completedAt != null
  const begun = (round: number) => rounds.has(round)
  return {
    rounds: new Map([...course.rounds].filter(([round]) => done(round))),
    sites: new Map(
      [...course.sites].map(([site, values]) => [site, new Map([...values].filter(([round]) => begun(round) && done(round)))]),
    ),
  }
}
