import type { ReactNode } from 'react'
import { cn } from '@/lib/utils'
import { useForm } from './form-context'

interface FieldRowProps {
  /** Of the configuration, dotted. */
  name: string
  label: string
  hint?: ReactNode
  /** What is wrong with what is written; what the server says of the key goes with it. */
  problem?: string | null
  className?: string
  children: (control: { id: string; 'aria-describedby': string; 'aria-invalid': boolean }) => ReactNode
}

/** A control with its label, what it takes, what is wrong, and the way back to the profile. */
export function FieldRow({ name, label, hint, problem = null, className, children }: FieldRowProps) {
  const { state, change, errors } = useForm()
  const id = `field-${name}`
  const wrong = problem ?? errors[name] ?? null
  return (
    <div className={cn('flex min-w-0 flex-col gap-1', className)}>
      <div className="flex items-baseline justify-between gap-2">
        <label htmlFor={id} className="min-w-0 font-medium break-words">
          {label}
        </label>
        {(name in state.draft.overrides || problem !== null) && (
          <button
            type="button"
            onClick={() => change({ kind: 'reset', key: name })}
            className="shrink-0 rounded-sm text-xs text-primary underline-offset-2 hover:underline"
          >
            <span aria-hidden>reset</span>
            <span className="sr-only">Reset {label}</span>
          </button>
        )}
      </div>
      {children({ id, 'aria-describedby': `${id}-hint`, 'aria-invalid': wrong !== null })}
      <div id={`${id}-hint`} className="text-xs text-muted-foreground">
        {wrong !== null && <p className="text-destructive">✕ {wrong}</p>}
        {hint}
      </div>
    </div>
  )
}
