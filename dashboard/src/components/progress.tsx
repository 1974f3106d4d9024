import { Bar } from './ui/bar'

/** How many rounds are done. */
export function RoundProgress({ round, total }: { round: number; total: number | null }) {
  if (total === null) return <span className="text-muted-foreground">{round === 0 ? '–' : `round ${round}`}</span>
  return (
    <span className="inline-flex items-center gap-2 whitespace-nowrap">
      <Bar value={round} max={total} label={`round ${round} of ${total}`} className="w-16" />
      {round}/{total}
    </span>
  )
}
