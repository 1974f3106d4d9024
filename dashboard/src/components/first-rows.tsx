import { useState, type ReactNode } from 'react'
import { Button } from '@/components/ui/button'
import { count } from '@/lib/format'

const AT_A_TIME = 200

/** The first of many rows, and a button under their table that shows more and says how many are left; `null` at the end. */
export function useFirstRows<T>(rows: readonly T[]): [shown: readonly T[], more: ReactNode] {
  const [most, setMost] = useState(AT_A_TIME)
  const left = rows.length - most
  if (left <= 0) return [rows, null]
  return [
    rows.slice(0, most),
    <p key="more" className="p-2 text-center">
      <Button size="sm" onClick={() => setMost(most + AT_A_TIME)}>
        Show {count(Math.min(left, AT_A_TIME))} more
      </Button>{' '}
      <span className="text-xs text-muted-foreground">{count(left)} are not shown</span>
    </p>,
  ]
}
