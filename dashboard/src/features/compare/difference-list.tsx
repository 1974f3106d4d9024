import { Table, Td, Th, Tr } from '@/components/ui/table'
import type { Section } from './differences'

/** What the two runs are not made of alike, section by section. */
export function DifferenceList({ sections }: { sections: Section[] }) {
  const differing = sections.filter((section) => section.differences.length > 0)
  const same = sections.filter((section) => section.differences.length === 0)
  return (
    <>
      {differing.length > 0 && (
        <Table label="What the runs are made of, where it differs">
          <thead>
            <tr>
              <Th className="w-2/5">Key</Th>
              <Th className="w-[30%]">A</Th>
              <Th className="w-[30%]">B</Th>
            </tr>
          </thead>
          {differing.map((section) => (
            <tbody key={section.name}>
              <tr>
                <th scope="rowgroup" colSpan={3} className="h-8 border-b bg-muted px-3 text-left text-xs font-medium">
                  {section.name}
                  <span className="ml-2 font-normal text-muted-foreground">
                    {section.differences.length} of {section.compared} differ
                  </span>
                </th>
              </tr>
              {section.differences.map(({ key, a, b }) => (
                <Tr key={key}>
                  <Th scope="row" className="min-w-32 font-mono font-normal whitespace-normal text-foreground [overflow-wrap:anywhere]">
                    {key}
                  </Th>
                  <Td className="min-w-24 py-1.5 font-mono text-xs [overflow-wrap:anywhere]">{a ?? <None />}</Td>
                  <Td className="min-w-24 py-1.5 font-mono text-xs [overflow-wrap:anywhere]">{b ?? <None />}</Td>
                </Tr>
              ))}
            </tbody>
          ))}
        </Table>
      )}
      {same.length > 0 && (
        <p className="px-3 py-2.5 text-muted-foreground">
          No difference in {same.map((section) => `${section.name.toLowerCase()} (${section.compared})`).join(', ')}.
        </p>
      )}
    </>
  )
}

function None() {
  return <span className="font-sans text-muted-foreground">not there</span>
}
