import { Suspense, useMemo, useRef, useState } from 'react'
import { allOf, latestOf, useToldEvents } from '@/api/told-events'
import { Empty, Loading } from '@/components/ui/notice'
import { useFirstRows } from '@/components/first-rows'
import { Table, Td, Th } from '@/components/ui/table'
import { Button } from '@/components/ui/button'
import { useRun, useShown, useSites } from '@/features/run/run-context'
import { RESULTS } from '@/features/run/description'
import { bytes, duration, metricName, percent } from '@/lib/format'
import type { Course } from '@/stores/series'
import { MARKING, markOf } from '@/stores/timeline'
import { domainOf, fewPoints, MOST_LINES, pointsOf, worstFirst, type Point } from './points'
import type { ChartMark, Line } from './chart'
import { useInView } from '@/lib/in-view'
import { cn } from '@/lib/utils'
import { patientLazy } from '@/lib/patient-import'

const Chart = patientLazy(() => import('./chart'))

const CHARTS = ['accuracy', 'balanced_accuracy', 'loss', 'seconds', 'payload_bytes', 'latency'] as const
type Metric = (typeof CHARTS)[number]

const NAMES: Record<Metric, string> = {
  accuracy: 'Accuracy on validation rows',
  balanced_accuracy: 'Balanced accuracy on validation rows',
  loss: 'Loss on validation rows',
  seconds: 'Seconds of a round; of a site, of its training',
  payload_bytes: 'Bytes of a round; of a site, of its answer',
  latency: 'Round trip of a site, from being asked to its answer',
}

export function written(metric: string, value: number): string {
  if (metric === 'seconds' || metric === 'latency') return duration(value)
  if (metric === 'payload_bytes') return bytes(value)
  return metric.endsWith('loss') ? value.toFixed(3) : percent(value)
}

/** How the run went, global round by global round: the new model, and the sites around it. */
export function Metrics({ selected, onSelectRound }: { selected: string | null; onSelectRound: (round: number) => void }) {
  const { live } = useRun()
  const course = useCourse()
  const at = useShown((shown) => shown.at)
  const sites = useSites()
  const [asTable, setAsTable] = useState(false)
  const [perSite, setPerSite] = useState(false)
  const results = useToldEvents(live, RESULTS)
  const marking = useToldEvents(live, MARKING)
  const bounded = latestOf(results.data, 'run_bounded', at)
  const marks = useMemo<ChartMark[]>(() => {
    const found = MARKING.flatMap((type) => allOf(marking.data, type, at)).flatMap((event) => {
      const mark = markOf(event)
      return mark === null || event.round === 0 || mark.kind === 'end' ? [] : [{ ...mark, round: event.round }]
    })
    return [...new Map(found.map((mark) => [`${mark.kind} ${mark.round}`, mark])).values()]
  }, [marking.data, at])
  const lines = useMemo(() => {
    const named = perSite ? worstFirst(course, 'accuracy').slice(0, MOST_LINES) : []
    return selected !== null && selected !== 'server' && !named.includes(selected) ? [...named, selected] : named
  }, [course, perSite, selected])
  if (course.rounds.size === 0)
    return <Empty title="No round is done yet.">The curves begin with the first one.</Empty>
  return (
    <div className="flex flex-col">
      <div className="flex flex-wrap items-center gap-1 px-3 py-1.5">
        <Button size="sm" aria-pressed={perSite} onClick={() => setPerSite(!perSite)}>
          {perSite ? 'Without lines of sites' : sites.length > MOST_LINES ? `With the ${MOST_LINES} worst sites` : 'With lines of sites'}
        </Button>
        <Button size="sm" aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
          {asTable ? 'As charts' : 'As a table'}
        </Button>
      </div>
      {asTable ? (
        <RoundTable />
      ) : (
        <Suspense fallback={<Loading what="The charts come" />}>
          {CHARTS.map((metric) => (
            <Figure
              key={metric}
              metric={metric}
              course={course}
              lines={lines}
              selected={selected}
              bounds={boundLines(metric, bounded)}
              marks={marks}
              onSelectRound={onSelectRound}
            />
          ))}
        </Suspense>
      )}
    </div>
  )
}

interface FigureProps {
  metric: Metric
  course: Course
  lines: readonly string[]
  selected: string | null
  bounds: readonly Line[]
  marks: readonly ChartMark[]
  onSelectRound: (round: number) => void
}

/** One metric; drawn only where it is looked at. */
function Figure({ metric, course, lines, selected, bounds, marks, onSelectRound }: FigureProps) {
  const element = useRef<HTMLElement>(null)
  const seen = useInView(element)
  const points = useMemo(() => (seen ? pointsOf(course, metric, lines) : null), [seen, course, metric, lines])
  return (
    <figure ref={element} className={cn('min-h-40 px-3 pt-1 pb-2', points?.length === 0 && 'hidden')}>
      <figcaption className="flex flex-wrap items-baseline justify-between gap-x-3 text-xs">
        <span className="font-medium">{NAMES[metric]}</span>
        {points !== null && points.length > 0 && <span className="text-muted-foreground">{latest(metric, points)}</span>}
      </figcaption>
      {points !== null && points.length > 0 && (
        <Chart
          points={fewPoints(points)}
          lines={lines}
          selected={selected}
          bounds={bounds}
          marks={marks}
          domain={domainOf([...valuesIn(points), ...bounds.map(({ value }) => value)], isPart(metric) ? 0.02 : 0, isPart(metric) ? 1 : undefined)}
          format={(value) => written(metric, value)}
          onSelectRound={onSelectRound}
        />
      )}
    </figure>
  )
}

function isPart(metric: Metric): boolean {
  return metric === 'accuracy' || metric === 'balanced_accuracy'
}

function valuesIn(points: readonly Point[]): number[] {
  return points.flatMap(({ value, band, sites }) => [...(value === null ? [] : [value]), ...(band ?? []), ...Object.values(sites)])
}

function latest(metric: Metric, points: readonly Point[]): string {
  const last = points.at(-1)!
  const value = last.value === null ? '' : `${written(metric, last.value)} in round ${last.round}`
  const band = last.band === null ? '' : `sites ${written(metric, last.band[0])} to ${written(metric, last.band[1])}`
  return [value, band].filter(Boolean).join(' · ')
}

function boundLines(
  metric: Metric,
  bounded: { centralized: Record<string, number>; local: Record<string, { median: number }> } | undefined,
): Line[] {
  if (bounded === undefined) return []
  const lines: Line[] = []
  const high = bounded.centralized[metric]
  const low = bounded.local[metric]?.median
  if (high !== undefined) lines.push({ value: high, label: 'all rows in one place (test)' })
  if (low !== undefined) lines.push({ value: low, label: 'a site alone, median (test)' })
  return lines
}

/** As of the last round that began or ended: what sites say meanwhile is drawn with it. */
function useCourse(): Course {
  const { travel } = useRun()
  const rounds = useShown((shown) => shown.course.rounds)
  // oxlint-disable-next-line react/exhaustive-deps -- another course with the same rounds is drawn with the next
  return useMemo(() => travel.shown.getState().course, [travel, rounds])
}

function RoundTable() {
  const course = useCourse()
  const rounds = [...course.rounds].sort(([a], [b]) => b - a)
  const names = [...new Set(rounds.flatMap(([, row]) => Object.keys(row)))].filter((name) => name !== 'started_ms' && name !== 'attempt')
  const [shown, more] = useFirstRows(rounds)
  return (
    <>
      <Table label="Rounds, the latest first">
        <thead>
          <tr>
            <Th>Global round</Th>
            {names.map((name) => (
              <Th key={name} className="text-right">
                {metricName(name)}
              </Th>
            ))}
          </tr>
        </thead>
        <tbody>
          {shown.map(([round, row]) => (
            <tr key={round}>
              <Td>{round}</Td>
              {names.map((name) => (
                <Td key={name} className="text-right">
                  {row[name] == null ? '–' : written(name, row[name])}
                </Td>
              ))}
            </tr>
          ))}
        </tbody>
      </Table>
      {more}
    </>
  )
}

