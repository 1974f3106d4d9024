import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { Link } from 'react-router'
import type { OfferView, RunView } from '@/api/schema'
import { runQuery } from '@/api/queries'
import { Asked } from '@/components/asked'
import { Empty } from '@/components/ui/notice'
import { KEYS, takenOver, withoutStandards, withValue, type Draft } from './draft'
import { fromSearch } from './link'
import { standard } from './offered'
import { offersQuery } from './queries'
import { StartForm } from './start-form'
import { useOpening } from './use-opening'

/** Ask for a run; with `?like=RUN_ID` one like another. */
export default function StartPage() {
  const { search, count, write } = useOpening()
  const offers = useQuery(offersQuery)
  const like = search.get('like')
  return (
    <div className="mx-auto flex w-full max-w-[1600px] flex-col gap-4 px-3 py-4 sm:px-4">
      <title>Start a run – FedForge</title>
      <h1 className="sr-only">Start a run</h1>
      <Asked query={offers} what="What may be asked for is read">
        {({ offers: views }) =>
          like === null ? (
            <Opened key={count} views={views} search={search} write={write} />
          ) : (
            <Like key={count} runId={like} views={views} search={search} write={write} />
          )
        }
      </Asked>
    </div>
  )
}

interface OpenedProps {
  views: OfferView[]
  /** The run that the form is filled from. */
  run?: RunView
  search: URLSearchParams
  write: (search: URLSearchParams) => void
}

function Like({ runId, ...rest }: OpenedProps & { runId: string }) {
  const query = useQuery({ ...runQuery(runId), staleTime: Infinity })
  return (
    <Asked query={query} what="The run is read">
      {(run) =>
        run.request === null ? (
          <Empty title="This run has no request.">
            It was started without one, so that there is nothing to take over.{' '}
            <Link to="/start" className="text-primary underline">
              Start one from the profile
            </Link>
          </Empty>
        ) : (
          <>
            <p className="text-muted-foreground">
              Filled from the request of{' '}
              <Link to={`/runs/${encodeURIComponent(runId)}`} className="font-mono text-xs text-foreground underline underline-offset-2">
                {runId}
              </Link>
            </p>
            <Opened {...rest} run={run} />
          </>
        )
      }
    </Asked>
  )
}

/** The form, which is filled once: what changes later is what is written in it. */
function Opened({ views, run, search, write }: OpenedProps) {
  const [{ draft, left }] = useState(() => filled(views, run, search))
  return <StartForm views={views} initial={draft} left={left} write={write} />
}

function filled(views: OfferView[], run: RunView | undefined, search: URLSearchParams): { draft: Draft; left: string[] } {
  if (run?.request) {
    const { kept, left } = takenOver(run.request.overrides)
    const draft = { phase: run.request.phase, profile: run.request.profile, overrides: kept }
    return { draft: withoutStandards(draft, (key) => standard(views, draft, key)), left }
  }
  const { phase, profile, overrides } = fromSearch(search)
  const offer = views[0]?.offer
  const draft = { phase: phase ?? offer?.phases[0]?.name ?? '', profile: profile ?? offer?.profiles[0]?.name ?? 'cpu-safe', overrides }
  return { draft: withReachedSites(views, draft), left: [] }
}

/** Where nobody reaches as many sites as the profile has, the form begins with as many as somebody does. */
function withReachedSites(views: OfferView[], draft: Draft): Draft {
  const reached = views.map((view) => view.offer.sites.length)
  const profile = standard(views, draft, KEYS.clients)
  const asked = KEYS.clients in draft.overrides || KEYS.sites in draft.overrides || KEYS.engine in draft.overrides
  if (asked || reached.length === 0 || reached.includes(0) || typeof profile !== 'number') return draft
  const most = Math.max(...reached)
  return profile > most ? withValue(draft, KEYS.clients, most, profile) : draft
}
