import type { EventOf } from '@/api/client'
import { allOf, latestOf, useToldEvents } from '@/api/told-events'
import { Button } from '@/components/ui/button'
import { Command, Empty, Failed, Loading } from '@/components/ui/notice'
import { useFirstRows } from '@/components/first-rows'
import { Table, Td, Th } from '@/components/ui/table'
import { useLive, useRun, useShown } from '@/features/run/run-context'
import { DESCRIBING, RESULTS } from '@/features/run/description'
import { csvOf, download } from '@/lib/download'
import { byNode, count, metricName, nodeName, percent, points, score } from '@/lib/format'
import { Confusion } from './confusion'
import { plainResult, tells } from './plain'
import { Provenance } from './provenance'

type Evaluated = EventOf<'run_evaluated'>
type Bounded = EventOf<'run_bounded'>

/** What came out: in one plain sentence first, then what it lies between, for each class and each site. */
export function Result() {
  const { runId, live } = useRun()
  const at = useShown((shown) => shown.at)
  const state = useLive((view) => view.run?.state)
  const results = useToldEvents(live, RESULTS)
  const described = useToldEvents(live, DESCRIBING)
  const about = latestOf(described.data, 'run_described', at)
  if (results.data === undefined) {
    if (results.error !== null) return <Failed error={results.error} retry={() => void results.refetch()} />
    return <Loading what="The result comes" />
  }
  const evaluated = latestOf(results.data, 'run_evaluated', at)
  const bounded = latestOf(results.data, 'run_bounded', at)
  const sites = allOf(results.data, 'site_evaluated', at).filter((site) => site.attempt === evaluated?.attempt)
  const alone = allOf(results.data, 'site_bounded', at)
  return (
    <div className="flex flex-col gap-5 px-3 py-3">
      {evaluated === undefined ? (
        <Empty title="There is no result yet.">
          {state === 'failed' || state === 'stopped'
            ? 'The run ended before its last round. Resume it, and it goes on from its last checkpoint.'
            : 'The final model is scored on the test split when the last round is done.'}
        </Empty>
      ) : (
        <>
          <section aria-label="In plain words" className="max-w-prose text-base leading-relaxed">
            {plainResult(evaluated, about).map((line) => (
              <p key={line}>{line}</p>
            ))}
          </section>
          <Exports runId={runId} evaluated={evaluated} bounded={bounded} sites={sites} alone={alone} />
          <Scores evaluated={evaluated} bounded={bounded} />
          <Classes evaluated={evaluated} />
          <Sites sites={sites} alone={alone} />
          <Confusion evaluated={evaluated} />
        </>
      )}
      {about !== undefined && <Provenance about={about} evaluated={evaluated} />}
    </div>
  )
}

function Heading({ children }: { children: React.ReactNode }) {
  return <h2 className="mb-1 text-sm font-semibold">{children}</h2>
}

function interval(given: { low: number; high: number } | undefined | null): string {
  return given == null ? '' : `${(100 * given.low).toFixed(1)} – ${percent(given.high)}`
}

/** Weakest, median, best. */
function spread(name: string, { lowest, median, highest }: { lowest: number; median: number; highest: number }): string {
  const [low, middle, high] = [lowest, median, highest].map((each) => (name.endsWith('loss') ? each.toFixed(3) : (100 * each).toFixed(1)))
  return `${low} / ${middle} / ${high}${name.endsWith('loss') ? '' : ' %'}`
}

function Scores({ evaluated, bounded }: { evaluated: Evaluated; bounded: Bounded | undefined }) {
  const names = Object.keys(evaluated.metrics)
  return (
    <section>
      <Heading>Scores on {count(evaluated.rows)} test rows</Heading>
      <Table label="Scores on the test split">
        <thead>
          <tr>
            <Th>Score</Th>
            <Th className="text-right">Final model</Th>
            <Th className="text-right">{`${Math.round(100 * evaluated.level)} % interval`}</Th>
            <Th className="text-right">All rows in one place</Th>
            <Th className="text-right" title="weakest, median and best of the models of each site's rows alone">
              A site alone
            </Th>
          </tr>
        </thead>
        <tbody>
          {names.map((name) => {
            const value = evaluated.metrics[name]!
            const high = bounded?.centralized[name]
            const local = bounded?.local[name]
            return (
              <tr key={name}>
                <Td className="whitespace-nowrap">{metricName(name)}</Td>
                <Td className="text-right font-medium">{score(name, value)}</Td>
                <Td className="text-right whitespace-nowrap">{name.endsWith('loss') ? '–' : interval(evaluated.intervals[name]) || '–'}</Td>
                <Td className="text-right whitespace-nowrap">
                  {high === undefined ? '–' : `${score(name, high)}${name.endsWith('loss') ? '' : ` (${points(value - high)})`}`}
                </Td>
                <Td className="text-right whitespace-nowrap">
                  {local === undefined ? '–' : spread(name, local)}
                </Td>
              </tr>
            )
          })}
        </tbody>
      </Table>
      {bounded !== undefined && (
        <p className="mt-1 text-xs text-muted-foreground">
          A site alone: weakest, median and best of the {bounded.sites} models of one site's rows each, on the same test rows and the same{' '}
          {bounded.budget_epochs} epochs.
        </p>
      )}
      {bounded === undefined && (
        <p className="mt-1 text-xs text-muted-foreground">Bounds (all rows in one place, each site alone) have not been computed for this run.</p>
      )}
    </section>
  )
}

function Classes({ evaluated }: { evaluated: Evaluated }) {
  return (
    <section>
      <Heading>By class</Heading>
      <Table label="Scores by class">
        <thead>
          <tr>
            <Th>Class</Th>
            <Th className="text-right">Test rows</Th>
            <Th className="text-right">Sensitivity</Th>
            <Th className="text-right">Interval</Th>
            <Th className="text-right">Specificity</Th>
            <Th className="text-right">Interval</Th>
          </tr>
        </thead>
        <tbody>
          {evaluated.classes.map((each) => (
            <tr key={each.name}>
              <Td>{each.name}</Td>
              <Td className="text-right">{each.rows === 0 ? 'not there' : count(each.rows)}</Td>
              <Td className="text-right">{each.sensitivity === null ? 'no row can tell' : percent(each.sensitivity.value)}</Td>
              <Td className="text-right whitespace-nowrap text-muted-foreground">{interval(each.sensitivity)}</Td>
              <Td className="text-right">{each.specificity === null ? 'no row can tell' : percent(each.specificity.value)}</Td>
              <Td className="text-right whitespace-nowrap text-muted-foreground">{interval(each.specificity)}</Td>
            </tr>
          ))}
        </tbody>
      </Table>
    </section>
  )
}

function Sites({ sites, alone }: { sites: EventOf<'site_evaluated'>[]; alone: EventOf<'site_bounded'>[] }) {
  const own = new Map(alone.map((each) => [each.node_id, each.metrics.accuracy]))
  const sorted = sites.toSorted((a, b) => byNode(a.node_id, b.node_id))
  const few = sorted.filter((site) => !tells(site.rows))
  const [shown, more] = useFirstRows(sorted)
  if (sites.length === 0) return null
  return (
    <section>
      <Heading>By site</Heading>
      <Table label="Scores by site">
        <thead>
          <tr>
            <Th>Site</Th>
            <Th className="text-right">Validation rows</Th>
            <Th className="text-right">Final model</Th>
            <Th className="text-right">95 % interval</Th>
            <Th className="text-right">Its own model in its last round</Th>
            <Th className="text-right">A model of its rows alone, on the test split</Th>
          </tr>
        </thead>
        <tbody>
          {shown.map((site) => {
            const value = site.metrics.accuracy
            const local = site.local_metrics.accuracy
            const lone = own.get(site.node_id)
            return (
              <tr key={site.node_id}>
                <Td>{nodeName(site.node_id)}</Td>
                <Td className="text-right">{count(site.rows)}</Td>
                <Td className="text-right">{value === undefined ? 'not there' : percent(value)}</Td>
                <Td className="text-right whitespace-nowrap text-muted-foreground">{interval(site.intervals.accuracy)}</Td>
                <Td className="text-right">{local === undefined ? '–' : percent(local)}</Td>
                <Td className="text-right">{lone === undefined ? '–' : percent(lone)}</Td>
              </tr>
            )
          })}
        </tbody>
      </Table>
      {more}
      {few.length > 0 && (
        <p className="mt-1 text-xs text-muted-foreground">
          {few.map((site) => nodeName(site.node_id)).join(', ')}: too few rows to say which site does better. Sites are in the order of
          their numbers, and not ranked.
        </p>
      )}
    </section>
  )
}

function Exports({
  runId,
  evaluated,
  bounded,
  sites,
  alone,
}: {
  runId: string
  evaluated: Evaluated
  bounded: Bounded | undefined
  sites: EventOf<'site_evaluated'>[]
  alone: EventOf<'site_bounded'>[]
}) {
  const whole = () => JSON.stringify({ run_id: runId, evaluated, bounded: bounded ?? null, sites, alone }, null, 2)
  const table = () =>
    csvOf(
      ['what', 'name', 'rows', 'score', 'value', 'low', 'high'],
      [
        ...Object.entries(evaluated.metrics).map(([name, value]) => {
          const around = evaluated.intervals[name]
          return ['model', 'test split', evaluated.rows, name, value, around?.low ?? null, around?.high ?? null]
        }),
        ...evaluated.classes.flatMap((each) =>
          (['sensitivity', 'specificity'] as const).map((name) => {
            const given = each[name]
            return ['class', each.name, each.rows, name, given?.value ?? null, given?.low ?? null, given?.high ?? null]
          }),
        ),
        ...sites.map((site) => {
          const around = site.intervals.accuracy
          return ['site', site.node_id, site.rows, 'accuracy', site.metrics.accuracy ?? null, around?.low ?? null, around?.high ?? null]
        }),
      ],
    )
  return (
    <div className="flex flex-wrap items-center gap-2">
      <Button size="sm" asChild>
        <a href={`/api/runs/${encodeURIComponent(runId)}/report`} target="_blank" rel="noreferrer">
          Report
        </a>
      </Button>
      <Button size="sm" onClick={() => void navigator.clipboard?.writeText(whole())}>
        Copy as JSON
      </Button>
      <Button size="sm" onClick={() => download(`${runId}.csv`, table(), 'text/csv')}>
        CSV
      </Button>
      <span className="flex min-w-0 flex-wrap items-center gap-2 text-xs text-muted-foreground">
        Model, where the run was made: <Command>{`fedforge export ${runId} my-model`}</Command>
      </span>
    </div>
  )
}
