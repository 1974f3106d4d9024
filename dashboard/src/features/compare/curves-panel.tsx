import { Suspense, useState } from 'react'
import { Button } from '@/components/ui/button'
import { Loading } from '@/components/ui/notice'
import { Panel } from '@/components/ui/panel'
import { Table, Td, Th, Tr } from '@/components/ui/table'
import { metricName } from '@/lib/format'
import { overlaid, type Place } from './curves'
import { scoreWords } from './number-words'
import type { RunSide } from './run-side'
import { patientLazy } from '@/lib/patient-import'

const CurveChart = patientLazy(() => import('./curve-chart'))
const METRICS = ['accuracy', 'balanced_accuracy', 'loss']

/** The course of both runs over their global rounds, on the validation rows of the sites. */
export function CurvesPanel({ a, b }: { a: RunSide; b: RunSide }) {
  const [asTable, setAsTable] = useState(false)
  const places = METRICS.map((metric) => overlaid(a.series, b.series, metric))
  const names = { a: a.run.run_id, b: b.run.run_id }
  return (
    <Panel
      title="Course over the global rounds"
      className="rounded-md border bg-card"
      aside={
        <Button size="sm" variant="ghost" aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
          As a table
        </Button>
      }
    >
      {asTable ? (
        <CurvesTable places={places} />
      ) : (
        <>
          <Key names={names} />
          <div className="grid gap-x-4 md:grid-cols-3">
            {METRICS.map((metric, each) => (
              <figure key={metric} className="min-w-0 px-2 pb-2">
                <figcaption className="px-1 font-medium">{metricName(metric)}</figcaption>
                {places[each]?.length ? (
                  <div role="img" aria-label={`${metricName(metric)} of both runs over the global rounds; “As a table” has its numbers`}>
                    <Suspense fallback={<Loading what="The chart comes" className="h-[220px]" />}>
                      <CurveChart metric={metric} places={places[each]} names={names} />
                    </Suspense>
                  </div>
                ) : (
                  <p className="px-1 py-6 text-muted-foreground">No round of either run has it yet.</p>
                )}
              </figure>
            ))}
          </div>
        </>
      )}
    </Panel>
  )
}

function Key({ names }: { names: { a: string; b: string } }) {
  return (
    <ul aria-label="Lines" className="flex flex-wrap gap-x-5 gap-y-1 px-3 pt-2.5 pb-1 text-xs">
      {(['a', 'b'] as const).map((side) => (
        <li key={side} className="flex min-w-0 items-center gap-2">
          <svg aria-hidden="true" width="24" height="8" className="shrink-0">
            <line
              x1="0" x2="24" y1="4" y2="4" strokeWidth="2"
              stroke={side === 'a' ? 'var(--series-1)' : 'var(--series-2)'}
              {...(side === 'b' && { strokeDasharray: '5 3' })}
            />
          </svg>
          <span className="min-w-0 break-all">
            {side.toUpperCase()} <span className="font-mono">{names[side]}</span>
          </span>
        </li>
      ))}
    </ul>
  )
}

function CurvesTable({ places }: { places: Place[][] }) {
  const rounds = [...new Set(places.flat().map((place) => place.round))].sort((one, other) => one - other)
  const at = places.map((of) => new Map(of.map((place) => [place.round, place])))
  return (
    <div className="max-h-96 overflow-y-auto">
      <Table label="Metrics of both runs by global round">
        <thead>
          <tr>
            <Th className="text-right">Global round</Th>
            {METRICS.flatMap((metric) => ['A', 'B'].map((side) => (
              <Th key={metric + side} className="text-right">
                {metricName(metric)} {side}
              </Th>
            )))}
          </tr>
        </thead>
        <tbody>
          {rounds.map((round) => (
            <Tr key={round}>
              <Th scope="row" className="text-right text-sm text-foreground">
                {round}
              </Th>
              {METRICS.flatMap((metric, each) => (['a', 'b'] as const).map((side) => (
                <Td key={metric + side} className="text-right">
                  {scoreWords(metric, at[each]?.get(round)?.[side])}
                </Td>
              )))}
            </Tr>
          ))}
        </tbody>
      </Table>
    </div>
  )
}
