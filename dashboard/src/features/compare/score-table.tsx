import type { ScoreInterval } from '@/api/schema'
import { Table, Td, Th, Tr } from '@/components/ui/table'
import { metricName } from '@/lib/format'
import { Change } from './change'
import { scoreWords } from './number-words'
import type { Compared } from './scores'
import { tellingWords } from './verdict'

/** The final scores on the test split, side by side, with the signed difference and what it says. */
export function ScoreTable({ scores, comparable }: { scores: Compared[]; comparable: boolean }) {
  return (
    <Table label="Scores of A and B">
      <thead>
        <tr>
          <Th>Score</Th>
          <Th className="text-right">A</Th>
          <Th className="text-right">B</Th>
          <Th className="pr-15 text-right">B − A</Th>
          <Th>Telling?</Th>
        </tr>
      </thead>
      <tbody>
        {scores.map((score) => (
          <Tr key={score.name}>
            <Th scope="row" className="text-sm text-foreground">
              {metricName(score.name)}
            </Th>
            <Td className="text-right whitespace-nowrap">
              <Scored name={score.name} value={score.a} interval={score.intervals.a} />
            </Td>
            <Td className="text-right whitespace-nowrap">
              <Scored name={score.name} value={score.b} interval={score.intervals.b} />
            </Td>
            <Td className="text-right">
              <Change name={score.name} change={score.change} judged={comparable} />
            </Td>
            <Td className="whitespace-nowrap">{comparable ? tellingWords(score) : 'not comparable'}</Td>
          </Tr>
        ))}
      </tbody>
    </Table>
  )
}

function Scored({ name, value, interval }: { name: string; value: number | undefined; interval: ScoreInterval | undefined }) {
  return (
    <>
      {scoreWords(name, value)}
      {interval && (
        <span className="ml-2 text-xs text-muted-foreground">
          {scoreWords(name, interval.low).replace(' %', '')} – {scoreWords(name, interval.high)}
        </span>
      )}
    </>
  )
}
