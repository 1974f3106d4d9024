import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { Link, useSearchParams } from 'react-router'
import type { OfferView, RunView } from '@/api/schema'
import { runQuery } from '@/api/queries'
import { Empty, Failed, Loading } from '@/components/ui/notice'
import { takenOver, withoutStandards, type Draft } from './draft'
import { fromSearch } from './link'
import { standard } from './offered'
import { offersQuery } from './queries'
import { StartForm } from './start-form'

/** Ask for a run; with `?like=RUN_ID` one like another. */
export default function StartPage() {
  const [search] = useSearchParams()
  const like = search.get('like')
  const offers = useQuery(offersQuery)
  const pattern = useQuery({ ...runQuery(like ?? ''), enabled: like !== null, staleTime: Infinity })
  const error = offers.data ? pattern.error : (offers.error ?? pattern.error)
  return (
    <div className="mx-auto flex w-full max-w-[1600px] flex-col gap-4 px-3 py-4 sm:px-4">
      <title>Start a run – FedForge</title>
      <h1 className="sr-only">Start a run</h1>
      {like !== null && (
        <p className="text-muted-foreground">
          Filled from the request of{' '}
          <Link to={`/runs/${encodeURIComponent(like)}`} className="font-mono text-xs text-foreground underline underline-offset-2">
            {like}
          </Link>
        </p>
      )}
      {error ? (
        <Failed error={error} retry={() => void (offers.error ? offers.refetch() : pattern.refetch())} />
      ) : !offers.data || (like !== null && !pattern.data) ? (
        <Loading what="What may be asked for is read" />
      ) : pattern.data && pattern.data.request === null ? (
        <Empty title="This run has no request.">
          It was started without one, so that there is nothing to take over.{' '}
          <Link to="/start" className="text-primary underline">
            Start one from the profile
          </Link>
        </Empty>
      ) : (
        <Opened views={offers.data.offers} run={pattern.data} search={search} />
      )}
    </div>
  )
}

/** The form as it is when the page is opened: later changes of the address are its own. */
function Opened({ views, run, search }: { views: OfferView[]; run: RunView | undefined; search: URLSearchParams }) {
  const [{ draft, left }] = useState(() => opening(views, run, search))
  return <StartForm views={views} initial={draft} left={left} />
}

function opening(views: OfferView[], run: RunView | undefined, search: URLSearchParams): { draft: Draft; left: string[] } {
  if (run?.request) {
    const { kept, left } = takenOver(run.request.overrides)
    const draft = { phase: run.request.phase, profile: run.request.profile, overrides: kept }
    return { draft: withoutStandards(draft, (key) => standard(views, draft, key)), left }
  }
  const { phase, profile, overrides } = fromSearch(search)
  const offer = views[0]?.offer
  const draft = { phase: phase ?? offer?.phases[0]?.name ?? '', profile: profile ?? offer?.profiles[0]?.name ?? 'cpu-safe', overrides }
  return { draft, left: [] }
}
