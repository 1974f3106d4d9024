/** How many rounds are done. */
export function RoundProgress({ round, total }: { round: number; total: number | null }) {
  if (total === null) return <span className="text-muted-foreground">{round === 0 ? '–' : `round ${round}`}</span>
  return (
    <span className="inline-flex items-center gap-2 whitespace-nowrap">
      <progress
        value={round}
        max={total}
        aria-label={`round ${round} of ${total}`}
        className="h-1.5 w-16 appearance-none overflow-hidden rounded-full bg-secondary [&::-moz-progress-bar]:bg-primary [&::-webkit-progress-bar]:bg-secondary [&::-webkit-progress-value]:bg-primary"
      />
      {round}/{total}
    </span>
  )
}
