import type { Condition, State } from '@/api/schema'
import { SHAPES, toneOfCondition, toneOfState, type Tone } from '@/lib/tone'
import { cn } from '@/lib/utils'

export function StatusShape({ tone, className }: { tone: Tone; className?: string }) {
  const { outline, filled, width } = SHAPES[tone]
  return (
    <svg
      viewBox="0 0 12 12"
      aria-hidden="true"
      data-tone={tone}
      className={cn('size-3 shrink-0 text-status', className)}
      fill={filled ? 'currentColor' : 'none'}
      stroke="currentColor"
      strokeWidth={width}
      strokeLinecap="round"
    >
      <path d={outline} />
    </svg>
  )
}

interface StatusProps {
  tone: Tone
  word: string
  title?: string | undefined
  className?: string
}

export function Status({ tone, word, title, className }: StatusProps) {
  return (
    <span data-tone={tone} title={title} className={cn('inline-flex items-center gap-1.5 text-status', className)}>
      <StatusShape tone={tone} />
      <span className="font-medium">{word}</span>
    </span>
  )
}

export function RunState({ state, stalled = false }: { state: State; stalled?: boolean }) {
  if (stalled) return <Status tone="lost" word="stalled" title={`${state}, and nothing but heartbeats comes`} />
  return <Status tone={toneOfState(state)} word={state} />
}

export function NodeCondition({ condition, title }: { condition: Condition; title?: string }) {
  return <Status tone={toneOfCondition(condition)} word={condition} title={title} />
}
