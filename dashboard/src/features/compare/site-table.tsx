import { useFirstRows } from '@/components/first-rows'
import { Table, Td, Th, Tr } from '@/components/ui/table'
import { count, nodeName } from '@/lib/format'
import { Change } from './change'
import { scoreWords } from './number-words'
import type { SiteChange } from './sites'
import { tellingWords } from './verdict'

interface SiteTableProps {
  changes: SiteChange[]
  metric: string
  comparable: boolean
}

/** How the two final models do on the validation rows of each site. */
export function SiteTable({ changes, metric, comparable }: SiteTableProps) {
  const [shown, more] = useFirstRows(changes)
  return (
    <>
      <Table label={`Change of ${metric} at each site`}>
        <thead>
          <tr>
            <Th>Site</Th>
            <Th className="text-right">Rows A</Th>
            <Th className="text-right">Rows B</Th>
            <Th className="text-right">A</Th>
            <Th className="text-right">B</Th>
            <Th className="pr-15 text-right">B − A</Th>
            <Th>Telling?</Th>
          </tr>
        </thead>
        <tbody>
          {shown.map(({ node, rows, score }) => (
            <Tr key={node}>
              <Th scope="row" className="text-sm text-foreground">
                {nodeName(node)}
              </Th>
              <Td className="text-right whitespace-nowrap">{rows.a === undefined ? 'not in A' : count(rows.a)}</Td>
              <Td className="text-right whitespace-nowrap">{rows.b === undefined ? 'not in B' : count(rows.b)}</Td>
              <Td className="text-right whitespace-nowrap">{scoreWords(metric, score.a)}</Td>
              <Td className="text-right whitespace-nowrap">{scoreWords(metric, score.b)}</Td>
              <Td className="text-right">
                <Change name={metric} change={score.change} judged={comparable} />
              </Td>
              <Td className="whitespace-nowrap text-muted-foreground">{comparable ? tellingWords(score) : 'not comparable'}</Td>
            </Tr>
          ))}
        </tbody>
      </Table>
      {more}
    </>
  )
}
