import type { SiteDescribed } from '@/api/schema'
import { count } from '@/lib/format'

type ClassRows = NonNullable<SiteDescribed['rows_per_class']>

/** How many rows of a class a site has, as it says it: of data of its own not all counts leave it. */
export function rowsInWords(rows: ClassRows[number]): string {
  switch (rows) {
    case 0: return 'not there'
    case '<5': return 'fewer than 5'
    case '>=5': return '5 or more'
    default: return count(rows)
  }
}

/** How long the bar of each class is, in percent of the longest; `null` where its count is not known. */
export function barsOf(classes: ClassRows): (number | null)[] {
  const most = Math.max(...classes.filter((rows) => typeof rows === 'number'), 1)
  return classes.map((rows) => (typeof rows === 'number' ? (100 * rows) / most : null))
}

/** Whether a count is not said. */
export function isWithheld(classes: ClassRows | null): boolean {
  return classes?.some((rows) => typeof rows === 'string') ?? false
}
