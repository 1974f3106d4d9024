import { Link } from 'react-router'
import { Ago } from '@/components/moment'
import { StandIns } from '@/components/stand-ins'
import { Button } from '@/components/ui/button'
import { Select } from '@/components/ui/field'
import { Empty, Notice } from '@/components/ui/notice'
import { Panel } from '@/components/ui/panel'
import { RunState } from '@/components/ui/status'
import { download } from '@/lib/download'
import { metricName, shortHash } from '@/lib/format'
import { CurvesPanel } from './curves-panel'
import { DifferenceList } from './difference-list'
import { differences } from './differences'
import { comparisonCsv, siteMetrics } from './export'
import type { RunSide } from './run-side'
import { ScoreTable } from './score-table'
import { compared } from './scores'
import { SiteTable } from './site-table'
import { siteChanges } from './sites'
import { areComparable, summary, warning } from './verdict'

interface ComparisonProps {
  a: RunSide
  b: RunSide
  /** Why what is shown may be older than it should be. */
  trouble: Error | null
  metric: string | null
  onMetric: (metric: string) => void
}

export function Comparison({ a, b, trouble, metric, onMetric }: ComparisonProps) {
  const doubt = warning(a, b)
  return (
    <>
      <div className="flex flex-wrap items-start justify-between gap-3">
        <ul aria-label="The two runs" className="flex min-w-0 flex-col gap-1">
          <Head letter="A" side={a} />
          <Head letter="B" side={b} />
        </ul>
        <Button size="sm" onClick={() => download(`${a.run.run_id}-${b.run.run_id}.csv`, comparisonCsv(a, b), 'text/csv')}>
          CSV
        </Button>
      </div>
      {trouble !== null && (
        <Notice tone="warning" title="This may be stale" role="status">
          {trouble.message}
        </Notice>
      )}
      {a.run.run_id === b.run.run_id && <Notice tone="info" title="A and B are the same run." />}
      {doubt !== null && (
        <Notice tone="warning" title="Read this before the scores" role="status">
          {doubt}
        </Notice>
      )}
      <div className="grid grid-cols-[minmax(0,1fr)] items-start gap-5 xl:grid-cols-2">
        <Scores a={a} b={b} />
        <AtSites a={a} b={b} metric={metric} onMetric={onMetric} />
      </div>
      <CurvesPanel a={a} b={b} />
      <Panel title="What they are made of" className="rounded-md border bg-card">
        {a.described && b.described ? (
          <DifferenceList sections={differences(a.described, b.described)} />
        ) : (
          <Empty title="Not told yet.">A run says what it is made of when its federated part begins.</Empty>
        )}
      </Panel>
    </>
  )
}

function Head({ letter, side: { run } }: { letter: string; side: RunSide }) {
  return (
    <li className="flex flex-wrap items-baseline gap-x-3">
      <span className="font-semibold">{letter}</span>
      <Link to={`/runs/${encodeURIComponent(run.run_id)}`} className="font-mono text-xs break-all underline underline-offset-2">
        {run.run_id}
      </Link>
      <RunState state={run.state} stalled={run.stalled} />
      <span className="text-muted-foreground">
        {run.phase}, {run.rounds_total === null ? 'no round' : `round ${run.round} of ${run.rounds_total}`}
        {run.clients === null ? '' : `, ${run.clients} sites`}
        {run.model_sha256 === null ? '' : `, model ${shortHash(run.model_sha256)}`}, <Ago at={run.created_at} />
      </span>
      <StandIns of={run.stand_ins} />
    </li>
  )
}

function Scores({ a, b }: { a: RunSide; b: RunSide }) {
  const scores = compared(a.evaluated ?? NOTHING, b.evaluated ?? NOTHING)
  const same = a.run.model_sha256 !== null && a.run.model_sha256 === b.run.model_sha256
  const comparable = areComparable(a, b)
  const level = a.evaluated?.level ?? b.evaluated?.level
  const silent = [a, b].filter((side) => !side.evaluated).map((side) => side.run.run_id)
  return (
    <Panel title="Final scores on the test split" className="rounded-md border bg-card">
      {scores.length === 0 ? (
        <Empty title="Neither run has been scored.">A run is scored on the test split after its last round.</Empty>
      ) : (
        <>
          <ScoreTable scores={scores} comparable={comparable} />
          <p aria-live="polite" className="px-3 py-2.5 text-muted-foreground">
            {same ? 'Both models are the same, byte for byte. ' : ''}
            {comparable ? summary(scores) : ''}
            {level === undefined ? '' : ` Intervals at ${Math.round(level * 100)}\u00a0%, by bootstrap over the test rows.`}
            {silent.length > 0 ? ` ${silent.join(' and ')} has not been scored.` : ''}
          </p>
        </>
      )}
    </Panel>
  )
}

function AtSites({ a, b, metric, onMetric }: Omit<ComparisonProps, 'trouble'>) {
  const metrics = siteMetrics(a, b)
  const chosen = metric !== null && metrics.includes(metric) ? metric : (metrics[0] ?? 'accuracy')
  return (
    <Panel
      title="Change at each site"
      className="rounded-md border bg-card"
      aside={
        metrics.length > 0 && (
          <label className="flex items-center gap-2">
            <span className="text-xs text-muted-foreground">Score</span>
            <Select value={chosen} onChange={(event) => onMetric(event.target.value)} className="h-7">
              {metrics.map((each) => (
                <option key={each} value={each}>
                  {metricName(each)}
                </option>
              ))}
            </Select>
          </label>
        )
      }
    >
      {metrics.length === 0 ? (
        <Empty title="No site has been scored.">That comes with the end of a run.</Empty>
      ) : (
        <>
          <SiteTable changes={siteChanges(a.sites, b.sites, chosen)} metric={chosen} comparable={areComparable(a, b)} />
          <p className="px-3 py-2.5 text-xs text-muted-foreground">
            Of the final models on each site’s own validation rows. Where the partitions differ, a site has other rows in B than in A.
          </p>
        </>
      )}
    </Panel>
  )
}

const NOTHING = { metrics: {} }
