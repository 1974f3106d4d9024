import { useCallback, useEffect, useRef, useState } from 'react'
import { useSearchParams } from 'react-router'

interface Opening {
  /** The address as somebody has come to it. */
  search: URLSearchParams
  /** Another one each time that somebody comes. */
  count: number
}

/** What the page was opened with, apart from what its form writes into the address itself. */
export function useOpening(): Opening & { write: (search: URLSearchParams) => void } {
  const [search, setSearch] = useSearchParams()
  const [opening, open] = useState<Opening>({ search, count: 0 })
  const known = useRef(search.toString())
  useEffect(() => {
    if (search.toString() === known.current) return
    known.current = search.toString()
    open(({ count }) => ({ search, count: count + 1 }))
  }, [search])
  const write = useCallback(
    (next: URLSearchParams) => {
      known.current = next.toString()
      void setSearch(next, { replace: true })
    },
    [setSearch],
  )
  return { ...opening, write }
}
