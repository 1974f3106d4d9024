import { useQuery } from '@tanstack/react-query'
import { ChevronRight } from 'lucide-react'
import { Fragment } from 'react'
import { Link } from 'react-router'
import { phasesQuery } from '@/api/queries'
import type { PhaseView } from '@/api/schema'
import { Ago } from '@/components/moment'
import { StandIns } from '@/components/stand-ins'
import { Failed, Loading } from '@/components/ui/notice'
import { Panel } from '@/components/ui/panel'
import { Status } from '@/components/ui/status'
import { metricName, percent, points, shortHash } from '@/lib/format'

/** The phases one after the other: what is accepted of each, and what keeps the next one waiting. */
export function Chain() {
  const { data, error, refetch } = useQuery(phasesQuery)
  return (
    <Panel title="Phases" className="rounded-md border bg-card">
      {data === undefined ? (
        error === null ? <Loading what="The phases come" /> : <Failed error={error} retry={() => void refetch()} />
      ) : data.phases.length === 0 ? (
        <p className="px-3 py-3 text-muted-foreground">
          Nobody has told of a phase yet. Dagster does when it materializes one (<code className="font-mono text-xs">fedforge up</code>),
          and so does <code className="font-mono text-xs">fedforge baseline accept RUN_ID --monitor …</code>.
        </p>
      ) : (
        <ol className="flex flex-col lg:flex-row lg:items-stretch">
          {data.phases.map((phase, place) => (
            <Fragment key={phase.phase}>
              {place > 0 && (
                <li aria-hidden="true" className="flex items-center justify-center text-muted-foreground max-lg:rotate-90">
                  <ChevronRight className="size-4" />
                </li>
              )}
              <Phase phase={phase} />
            </Fragment>
          ))}
        </ol>
      )}
    </Panel>
  )
}

function Phase({ phase }: { phase: PhaseView }) {
  const { accepted } = phase
  return (
    <li className="flex min-w-0 flex-1 flex-col gap-1.5 px-3 py-2.5">
      <p className="flex items-center justify-between gap-2">
        <span className="text-base font-semibold capitalize">{phase.phase}</span>
        {phase.blockers.length > 0 ? (
          <Status tone="paused" word="blocked" />
        ) : accepted === null ? (
          <Status tone="waiting" word="no model yet" />
        ) : (
          <Status tone="completed" word="accepted" />
        )}
      </p>
      {accepted !== null && (
        <>
          <Between phase={phase} />
          <p className="text-xs text-muted-foreground">
            <Link to={`/runs/${accepted.run_id}`} className="font-mono underline underline-offset-2">
              {accepted.run_id}
            </Link>{' '}
            · model <span className="font-mono">{shortHash(accepted.model_sha256)}</span> · <Ago at={accepted.accepted_at} />
          </p>
        </>
      )}
      {phase.blockers.map((blocker) => (
        <p key={blocker.reason}>
          {blocker.reason} <span className="text-muted-foreground">{blocker.next_step}</span>
        </p>
      ))}
      {phase.decisions.map((decision) => (
        <p key={decision.finding} className="text-xs text-muted-foreground">
          Audit: {decision.finding} may stand, says {decision.by}: {decision.reason}
        </p>
      ))}
      <p className="flex flex-wrap gap-x-3 text-xs">
        {Object.entries(phase.links).map(([name, address]) => (
          <a key={name} href={address} target="_blank" rel="noreferrer" className="text-primary underline underline-offset-2">
            {name.replace(/_/g, ' ')}
          </a>
        ))}
      </p>
    </li>
  )
}

/** The score where it lies between the weakest site alone and all rows in one place. */
function Between({ phase }: { phase: PhaseView }) {
  const accepted = phase.accepted!
  const name = 'accuracy' in accepted.scores ? 'accuracy' : Object.keys(accepted.scores)[0]
  if (name === undefined) return null
  const value = accepted.scores[name]!
  const low = accepted.lowest?.[name]
  const high = accepted.highest?.[name]
  const baseline = accepted.baseline?.[name]
  const from = Math.min(low ?? value, baseline ?? value, value)
  const until = Math.max(high ?? value, baseline ?? value, value)
  const x = (given: number) => (until > from ? 2 + (96 * (given - from)) / (until - from) : 50)
  const said = [
    low === undefined ? null : `weakest site alone ${percent(low)}`,
    baseline === undefined ? null : `baseline ${percent(baseline)} (${points(value - baseline)})`,
    high === undefined ? null : `all rows in one place ${percent(high)}`,
  ].filter((each) => each !== null)
  return (
    <div>
      <p>
        <span className="text-lg font-semibold">{percent(value)}</span>{' '}
        <span className="text-muted-foreground">{metricName(name)} on the test split</span> <StandIns of={accepted.stand_ins} />
      </p>
      {said.length > 0 && (
        <>
          <svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" className="mt-1 h-2 w-full">
            <rect x={x(low ?? from)} y="3" width={Math.max(0, x(high ?? until) - x(low ?? from))} height="2" fill="var(--border)" />
            {baseline !== undefined && <rect x={x(baseline) - 0.3} y="1" width="0.6" height="6" fill="var(--muted-foreground)" />}
            <rect x={x(value) - 0.6} y="0" width="1.2" height="8" fill="var(--status-completed)" />
          </svg>
          <p className="text-xs text-muted-foreground">{said.join(' · ')}</p>
        </>
      )}
    </div>
  )
}
