import { keepPreviousData, queryOptions } from '@tanstack/react-query'
import { api, told } from '@/api/client'
import type { Draft } from './draft'

/** What those who are there offer; each offers again every 20 s, and one that ends is gone at once. */
export const offersQuery = queryOptions({
  queryKey: ['offers'],
  queryFn: ({ signal }) => told(api.GET('/api/offers', { signal })),
  refetchInterval: 5_000,
})

/**
 * What a claimant says of a request; the question before is given up.
 *
 * @param claimants who is there, and answers: with others the answer may be another.
 */
export function checkQuery(draft: Draft, claimants: string[], person: string) {
  return queryOptions({
    queryKey: ['check', draft, claimants],
    queryFn: ({ signal }) =>
      told(api.POST('/api/checks', { body: { request: { ...draft, requested_by: person } }, signal })),
    placeholderData: keepPreviousData,
    staleTime: 60_000,
    retry: false,
  })
}
