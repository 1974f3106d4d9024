import type { UseQueryResult } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { Failed, Loading } from '@/components/ui/notice'
import { Status } from '@/components/ui/status'
import { onServerClock } from '@/stores/clock'
import { Ago } from './moment'

interface AskedProps<Data> {
  query: UseQueryResult<Data>
  /** What comes, for whoever waits. */
  what: string
  children: (data: Data) => ReactNode
}

/** What the monitor was asked for, once it is here; what is older than it should be stays, and says so. */
export function Asked<Data>({ query, what, children }: AskedProps<Data>) {
  const { data, error, failureReason, refetch, dataUpdatedAt } = query
  const trouble = error ?? failureReason
  if (data === undefined) {
    return trouble === null ? <Loading what={what} /> : <Failed error={trouble} retry={() => void refetch()} />
  }
  return (
    <>
      {trouble !== null && (
        <p role="status" className="flex flex-wrap items-center gap-x-2 border-b px-3 py-1.5 text-xs">
          <Status tone="lost" word="stale" />
          <span>
            As it was <Ago at={onServerClock(dataUpdatedAt)} />. {trouble.message}
          </span>
        </p>
      )}
      {children(data)}
    </>
  )
}
