import type { Condition, State } from '@/api/schema'
import { toneOfCondition, toneOfState, type Tone } from '@/lib/tone'
import { cn } from '@/lib/utils'

/** The shape of a state: a state is told by colour, by shape and by its word. */
export function StatusShape({ tone, className }: { tone: Tone; className?: string }) {
  return (
    <svg
      viewBox="0 0 12 12"
      aria-hidden="true"
      data-tone={tone}
      className={cn('size-3 shrink-0 text-status', className)}
      fill="none"
      stroke="currentColor"
      strokeWidth="2"
      strokeLinecap="round"
    >
      {SHAPES[tone]}
    </svg>
  )
}

const SHAPES: Record<Tone, React.ReactNode> = {
  running: <circle cx="6" cy="6" r="4.5" fill="currentColor" stroke="none" />,
  answering: <path d="M6 10V2M2.5 5.5 6 2l3.5 3.5" />,
  paused: <path d="M4 2.5v7M8 2.5v7" />,
  completed: <path d="m2 6.5 2.7 2.7L10 3" />,
  failed: <path d="m2.5 2.5 7 7m0-7-7 7" />,
  lost: <path d="M3.8 4.2a2.2 2.2 0 1 1 3.3 1.9c-.7.4-1.1.8-1.1 1.6M6 10.4v.1" strokeWidth="1.7" />,
  waiting: <circle cx="6" cy="6" r="4" />,
  idle: <path d="M2.5 6h7" />,
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
