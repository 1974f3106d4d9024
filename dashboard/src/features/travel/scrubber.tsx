import { ChevronLeft, ChevronRight, ChevronsLeft, ChevronsRight, Pause, Play } from 'lucide-react'
import { useEffect, useMemo, useRef, useState, type KeyboardEvent, type PointerEvent } from 'react'
import { allOf, useToldEvents } from '@/api/told-events'
import { Button } from '@/components/ui/button'
import { Select } from '@/components/ui/field'
import { useLive, useRun, useShown } from '@/features/run/run-context'
import { moment as written, timeOfDay } from '@/lib/format'
import { useNow } from '@/stores/clock'
import { machine } from '@/stores/machine'
import { MARKING, markOf, type Mark } from '@/stores/timeline'
import { SPEEDS } from '@/stores/travel'
import { momentAt, positionOf, scaleOf, type Scale } from './scale'

const MOST_TICKS = 120

const COLOURS: Record<Mark['kind'], string> = {
  pause: 'var(--status-paused)',
  resume: 'var(--status-running)',
  attempt: 'var(--status-running)',
  drop: 'var(--status-failed)',
  end: 'var(--status-idle)',
}

/** Any moment of the run, live or finished: drag, step by event and round, play, and back to live. */
export function Scrubber() {
  const { travel } = useRun()
  const { at, moment, loading, playing } = useShown((shown) => shown)
  const scale = useScale()
  const [speed, setSpeed] = useState<number>(SPEEDS[1])
  const dragging = useRef<number | null>(null)
  const track = useRef<HTMLDivElement>(null)

  useEffect(() => {
    const press = (event: globalThis.KeyboardEvent) => {
      if (event.key === 'Escape' && travel.shown.getState().at !== null && document.querySelector('[role="dialog"]') === null)
        travel.backToLive()
    }
    window.addEventListener('keydown', press)
    return () => window.removeEventListener('keydown', press)
  }, [travel])
  if (scale === null) return null

  const go = (clientX: number) => {
    const box = track.current!.getBoundingClientRect()
    dragging.current ??= requestAnimationFrame(() => {
      dragging.current = null
      void travel.toMoment(momentAt(scale, (clientX - box.left) / box.width))
    })
  }
  const drag = (event: PointerEvent<HTMLDivElement>) => {
    if (event.type === 'pointerdown') event.currentTarget.setPointerCapture(event.pointerId)
    if (event.type === 'pointerdown' || event.buttons === 1) {
      travel.halt()
      go(event.clientX)
    }
  }
  const press = (event: KeyboardEvent) => {
    const step = event.key === 'ArrowLeft' ? -1 : event.key === 'ArrowRight' ? 1 : null
    if (step !== null) {
      event.preventDefault()
      travel.halt()
      void (event.shiftKey ? travel.stepRound(step) : travel.step(step))
    } else if (event.key === ' ') {
      event.preventDefault()
      if (playing) travel.halt()
      else void travel.play(speed)
    } else if (event.key === 'Home') void travel.toMoment(scale.edges[0]!)
    else if (event.key === 'End') travel.backToLive()
  }
  const place = moment === null ? 1 : positionOf(scale, moment)
  const button = (label: string, icon: React.ReactNode, act: () => void) => (
    <Button variant="ghost" size="icon" className="size-7" aria-label={label} title={label} onClick={act} disabled={loading}>
      {icon}
    </Button>
  )
  return (
    <div role="group" aria-label="Time" className="flex flex-wrap items-center gap-x-2 gap-y-1 border-y bg-card px-3 py-1.5">
      <div className="flex items-center">
        {button('A round back', <ChevronsLeft aria-hidden />, () => void travel.stepRound(-1))}
        {button('An event back', <ChevronLeft aria-hidden />, () => void travel.step(-1))}
        {playing
          ? button('Halt', <Pause aria-hidden />, () => travel.halt())
          : button('Play', <Play aria-hidden />, () => void travel.play(speed))}
        {button('An event on', <ChevronRight aria-hidden />, () => void travel.step(1))}
        {button('A round on', <ChevronsRight aria-hidden />, () => void travel.stepRound(1))}
        <Select
          aria-label="Speed"
          value={speed}
          className="h-7 text-xs"
          onChange={(event) => {
            const wished = Number(event.target.value)
            setSpeed(wished)
            if (playing) void travel.play(wished)
          }}
        >
          {SPEEDS.map((each) => (
            <option key={each} value={each}>
              {each}×
            </option>
          ))}
        </Select>
      </div>
      <div
        ref={track}
        role="slider"
        tabIndex={0}
        aria-label="Moment that is shown"
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(100 * place)}
        aria-valuetext={at === null ? 'now' : `${written(moment ?? 0)}, event ${at}`}
        onPointerDown={drag}
        onPointerMove={drag}
        onKeyDown={press}
        className="relative h-8 min-w-40 grow touch-none cursor-ew-resize"
      >
        <Track scale={scale} place={place} />
      </div>
      <div className="flex items-center gap-2 text-xs">
        {at === null ? (
          <span className="w-40 text-right text-muted-foreground max-sm:w-auto">{loading ? 'the past comes …' : 'now'}</span>
        ) : (
          <span className="w-40 text-right whitespace-nowrap max-sm:w-auto" title={written(moment ?? 0)}>
            {timeOfDay(moment ?? 0, true)} · event {at}
          </span>
        )}
      </div>
    </div>
  )
}

/** Of the run as it is now: it does not change while the past is looked at, but for what comes. */
function useScale(): Scale | null {
  const run = useLive((live) => live.folded?.run)
  const rounds = useLive((live) => live.folded?.rounds)
  const now = useNow()
  const ended = run !== undefined && machine.ended.includes(run.control.state)
  const until = run === undefined ? 0 : ended ? (run.lastEventAt ?? now) : now
  return useMemo(
    () => (run === undefined || rounds === undefined ? null : scaleOf(run.createdAt, until, rounds.values(), lastRoundEnd(run.roundsTotal, rounds))),
    // The facts of a run are another object with each event; only these move the axis.
    // oxlint-disable-next-line react/exhaustive-deps
    [run?.createdAt, run?.roundsTotal, until, rounds],
  )
}

function lastRoundEnd(total: number | null, rounds: ReadonlyMap<number, { completedAt: number | null }>): number | null {
  return total === null ? null : (rounds.get(total)?.completedAt ?? null)
}

function Track({ scale, place }: { scale: Scale; place: number }) {
  const { live } = useRun()
  const marking = useToldEvents(live, MARKING)
  const marks = useMemo(
    () =>
      MARKING.flatMap((type) => allOf(marking.data, type)).flatMap((event) => {
        const mark = markOf(event)
        return mark === null || event.role !== 'server' ? [] : [{ ...mark, at: Date.parse(event.ts), id: event.event_id }]
      }),
    [marking.data],
  )
  const { stretches } = scale
  const every = Math.ceil(stretches.length / MOST_TICKS)
  return (
    <div className="pointer-events-none absolute inset-0" aria-hidden="true">
      <div className="absolute inset-x-0 top-1/2 h-1 -translate-y-1/2 rounded-full bg-secondary" />
      <div className="absolute left-0 top-1/2 h-1 -translate-y-1/2 rounded-full bg-primary/50" style={{ width: `${100 * place}%` }} />
      {stretches.map(
        (stretch, index) =>
          stretch.round !== null &&
          index % every === 0 && (
            <span
              key={stretch.from}
              className="absolute top-1/2 h-2.5 w-px -translate-y-1/2 bg-muted-foreground/60"
              style={{ left: `${(100 * index) / stretches.length}%` }}
            />
          ),
      )}
      {marks.map((mark) => (
        <span
          key={mark.id}
          className="absolute top-0 h-3 w-0.5"
          style={{ left: `${100 * positionOf(scale, mark.at)}%`, background: COLOURS[mark.kind] }}
        />
      ))}
      <span
        className="absolute top-1/2 size-3.5 -translate-x-1/2 -translate-y-1/2 rounded-full border-2 border-primary bg-card"
        style={{ left: `${100 * place}%` }}
      />
    </div>
  )
}
