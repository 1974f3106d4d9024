import type { Disclosures, Words } from '@/api/schema'
import { useFirstRows } from '@/components/first-rows'
import { Table, Td, Th, Tr } from '@/components/ui/table'
import { bytes, byNode, count, nodeName } from '@/lib/format'
import { disclosureRows, sumsWords } from './disclosure-rows'

/** A line for each kind of message of each site. */
export function DisclosureTable({ disclosures, words }: { disclosures: Disclosures; words: Words | undefined }) {
  const rows = disclosureRows(disclosures).sort((one, other) => byNode(one.node, other.node))
  const [shown, more] = useFirstRows(rows)
  return (
    <>
      <Table label={`What has left each site in ${disclosures.run_id}`}>
        <thead>
          <tr>
            <Th>Site</Th>
            <Th>Asked to</Th>
            <Th>What is in the answer</Th>
            <Th className="text-right">Messages</Th>
            <Th className="text-right">Size</Th>
            <Th className="text-right">Smallest group</Th>
            <Th>Sums among it</Th>
          </tr>
        </thead>
        <tbody>
          {shown.map((row, place) => (
            <Tr key={`${row.node} ${row.task}`}>
              <Th scope="row" className="text-sm text-foreground">
                <span className={rows[place - 1]?.node === row.node ? 'sr-only' : ''}>{nodeName(row.node)}</span>
              </Th>
              <Td className="whitespace-nowrap">{words?.tasks[row.task] ?? row.task}</Td>
              <Td className="min-w-56">{row.contains}</Td>
              <Td className="text-right">{count(row.messages)}</Td>
              <Td className="text-right whitespace-nowrap">{bytes(row.payload_bytes)}</Td>
              <Td className="text-right whitespace-nowrap">
                {row.smallest_group === null ? (
                  <span className="text-muted-foreground">not known</span>
                ) : (
                  `${row.per_class ? 'at most ' : ''}${count(row.smallest_group)} ${row.smallest_group === 1 ? 'row' : 'rows'}`
                )}
              </Td>
              <Td className="whitespace-nowrap">{sumsWords(row)}</Td>
            </Tr>
          ))}
        </tbody>
      </Table>
      {more}
    </>
  )
}
