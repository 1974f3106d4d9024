import { changeWords } from './number-words'
import { direction } from './scores'

interface ChangeProps {
  name: string
  change: number | undefined
  /** Whether it can be told which is better. */
  judged: boolean
}

/** A signed difference, and in a word whether that is better: of a loss less is. */
export function Change({ name, change, judged }: ChangeProps) {
  const way = judged ? direction(name, change) : 'unknown'
  return (
    <span className="whitespace-nowrap">
      {changeWords(name, change)}
      <span className="inline-block w-12 pl-1.5 text-left text-xs text-muted-foreground">
        {way === 'better' || way === 'worse' ? way : ''}
      </span>
    </span>
  )
}
