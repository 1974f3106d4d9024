import { useMemo } from 'react'
import { allOf, useToldEvents } from '@/api/told-events'
import { useFirstRows } from '@/components/first-rows'
import { NodeCondition } from '@/components/ui/status'
import { Empty } from '@/components/ui/notice'
import { Table, Td, Th, Tr } from '@/components/ui/table'
import { useCondition, useMoment, useNode, useRun, useShown, useSites } from '@/features/run/run-context'
import { DESCRIBING } from '@/features/run/description'
import { age, bytes, count, duration, nodeName, percent } from '@/lib/format'
import { cn } from '@/lib/utils'
import { latestValue } from '@/stores/series'

/** The sites as a table: what the picture beside it shows, for keys, screen readers and small screens. */
export function SiteTable({ selected, onSelect }: { selected: string | null; onSelect: (nodeId: string) => void }) {
  const sites = useSites()
  const { live } = useRun()
  const at = useShown((shown) => shown.at)
  const described = useToldEvents(live, DESCRIBING)
  const rows = useMemo(
    () => new Map(allOf(described.data, 'site_described', at).map((event) => [event.node_id, event.rows])),
    [described.data, at],
  )
  const [shown, more] = useFirstRows(sites)
  if (sites.length === 0) return <Empty title="No site has been heard of yet." />
  return (
    <>
      <Table label="Sites of this run">
        <thead>
          <tr>
            <Th>Site</Th>
            <Th>Is</Th>
            <Th className="text-right">Rows</Th>
            <Th className="text-right">Round</Th>
            <Th className="text-right">Accuracy</Th>
            <Th className="text-right">Trained for</Th>
            <Th className="text-right">Sent</Th>
            <Th className="text-right">Last seen</Th>
          </tr>
        </thead>
        <tbody>
          {shown.map((site) => (
            <SiteRow key={site} site={site} rows={rows.get(site)} chosen={site === selected} onSelect={onSelect} />
          ))}
        </tbody>
      </Table>
      {more}
    </>
  )
}

function SiteRow({ site, rows, chosen, onSelect }: { site: string; rows: number | undefined; chosen: boolean; onSelect: (nodeId: string) => void }) {
  const node = useNode(site)
  const condition = useCondition(node)
  const now = useMoment()
  const accuracy = useShown((shown) => latestValue(shown.course.sites.get(site), 'accuracy'))
  const seconds = useShown((shown) => latestValue(shown.course.sites.get(site), 'train_seconds'))
  const sent = useShown((shown) => latestValue(shown.course.sites.get(site), 'train_payload_bytes'))
  return (
    <Tr className={cn(chosen && 'bg-accent')}>
      <Td>
        <button type="button" className="font-medium whitespace-nowrap hover:underline" onClick={() => onSelect(site)}>
          {nodeName(site)}
        </button>
      </Td>
      <Td>
        <NodeCondition condition={condition} title={node?.reason ?? undefined} />
      </Td>
      <Td className="text-right">{rows === undefined ? '–' : count(rows)}</Td>
      <Td className="text-right">{node?.round ?? '–'}</Td>
      <Td className="text-right">{accuracy == null ? '–' : percent(accuracy)}</Td>
      <Td className="text-right">{seconds == null ? '–' : duration(seconds)}</Td>
      <Td className="text-right">{sent == null ? '–' : bytes(sent)}</Td>
      <Td className="text-right">{node?.lastSeenAt == null ? '–' : age((now - node.lastSeenAt) / 1000)}</Td>
    </Tr>
  )
}
