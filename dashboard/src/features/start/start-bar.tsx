import { useId } from 'react'
import { Button } from '@/components/ui/button'
import { Input } from '@/components/ui/field'
import { Notice } from '@/components/ui/notice'
import { runIdProblem } from './run-id'

interface StartBarProps {
  runId: string
  onRunId: (runId: string) => void
  /** Why it cannot be started now; `null` where it can. */
  obstacle: string | null
  /** What the monitor, or the network, said to the last try. */
  refusal: string | null
  busy: boolean
  waits: boolean
}

/** The name of the run, and the one button that asks for it. */
export function StartBar({ runId, onRunId, obstacle, refusal, busy, waits }: StartBarProps) {
  const id = useId()
  const problem = runId === '' ? null : runIdProblem(runId)
  return (
    <div className="flex flex-col gap-3 px-3 py-3">
      <div className="flex flex-col gap-1">
        <label htmlFor={id} className="font-medium">
          Name of the run
        </label>
        <Input
          id={id}
          value={runId}
          onChange={(event) => onRunId(event.target.value)}
          aria-invalid={problem !== null}
          aria-describedby={`${id}-hint`}
          className="font-mono"
          autoComplete="off"
          spellCheck={false}
          maxLength={64}
        />
        <p id={`${id}-hint`} className="text-xs text-muted-foreground">
          {problem === null ? 'Its address and its folder; it cannot be changed later.' : <span className="text-destructive">✕ {problem}</span>}
        </p>
      </div>
      {refusal !== null && (
        <Notice tone="error" title="The run was not started" role="alert">
          {refusal}
        </Notice>
      )}
      <div className="flex flex-wrap items-center gap-3">
        <Button type="submit" variant="default" disabled={obstacle !== null || problem !== null || runId === '' || busy} aria-describedby={`${id}-why`}>
          {busy ? 'Starting …' : waits ? 'Ask for this run' : 'Start this run'}
        </Button>
        <p id={`${id}-why`} role="status" className="min-w-0 text-muted-foreground">
          {obstacle ?? (waits ? 'It waits until somebody takes it up.' : '')}
        </p>
      </div>
    </div>
  )
}
