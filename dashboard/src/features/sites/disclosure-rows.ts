import type { Disclosure, Disclosures } from '@/api/schema'
import { csvOf } from '@/lib/download'

/** One kind of message of one site. */
export interface DisclosureRow extends Disclosure {
  node: string
  rows: number | null
}

export function disclosureRows(disclosures: Disclosures): DisclosureRow[] {
  return disclosures.sites.flatMap((site) =>
    site.sent.map((sent) => ({ ...sent, node: site.node_id, rows: site.rows })),
  )
}

export function disclosureCsv(disclosures: Disclosures): string {
  return csvOf(
    ['run', 'site', 'task', 'contains', 'messages', 'bytes', 'smallest_group', 'sums', 'class_sums', 'rows', 'protection'],
    disclosureRows(disclosures).map((row) => [
      disclosures.run_id, row.node, row.task, row.contains, row.messages, row.payload_bytes, row.smallest_group,
      String(row.sums), String(row.per_class), row.rows, disclosures.protection,
    ]),
  )
}

/** What kinds of numbers are in a message that could tell of single patients. */
export function sumsWords(row: Disclosure): string {
  if (row.per_class) return 'sums of each class'
  return row.sums ? 'sums of all rows' : 'no sums'
}
