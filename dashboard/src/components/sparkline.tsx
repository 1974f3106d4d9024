/** The course of a value in few points, drawn small; its words are its table's. */
export function Sparkline({ values, label }: { values: readonly number[]; label: string }) {
  if (values.length < 2) return <span className="text-muted-foreground">–</span>
  const low = Math.min(...values)
  const range = Math.max(...values) - low || 1
  const points = values.map((value, place) => {
    const x = (place / (values.length - 1)) * 78 + 1
    const y = 19 - ((value - low) / range) * 18
    return `${x.toFixed(1)},${y.toFixed(1)}`
  })
  return (
    <svg viewBox="0 0 80 20" className="h-5 w-20" role="img" aria-label={label}>
      <polyline points={points.join(' ')} fill="none" stroke="var(--series-1)" strokeWidth="1.5" strokeLinejoin="round" />
    </svg>
  )
}
