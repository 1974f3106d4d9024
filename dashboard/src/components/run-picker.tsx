import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { useEffect, useId, useState, type KeyboardEvent } from 'react'
import { api, told } from '@/api/client'
import type { RunView } from '@/api/schema'
import { Input } from '@/components/ui/field'
import { RunState } from '@/components/ui/status'
import { useDebounced } from '@/lib/use-debounced'
import { cn } from '@/lib/utils'
import { Ago } from './moment'

interface RunPickerProps {
  label: string
  /** The chosen run; the empty text where none is. */
  value: string
  onChoose: (runId: string) => void
  placeholder?: string
  className?: string
}

const SHOWN = 20
const SETTLED_MS = 150

/** A run, looked for by a part of its name, its phase, its engine, or who asked for it. */
export function RunPicker({ label, value, onChoose, placeholder = 'a part of a run’s name', className }: RunPickerProps) {
  const id = useId()
  const [text, setText] = useState<string | null>(null)
  const [place, setPlace] = useState(0)
  const open = text !== null
  const wanted = useDebounced(text ?? '', SETTLED_MS)
  const found = useQuery({
    queryKey: ['runs found', wanted],
    queryFn: ({ signal }) => told(api.GET('/api/runs', { params: { query: { text: wanted, limit: SHOWN } }, signal })),
    placeholderData: keepPreviousData,
    enabled: open,
  })
  const runs = (open && found.data?.runs) || []
  const settled = wanted === text && !found.isPlaceholderData
  const at = Math.min(place, Math.max(0, runs.length - 1))
  useEffect(() => {
    if (open) document.getElementById(`${id}-${at}`)?.scrollIntoView({ block: 'nearest' })
  }, [open, id, at])
  const choose = (run: RunView) => {
    setText(null)
    if (run.run_id !== value) onChoose(run.run_id)
  }
  const press = (event: KeyboardEvent) => {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0
    const run = runs[at]
    if (step !== 0) {
      event.preventDefault()
      if (!open) setText('')
      else setPlace((at + step + runs.length) % Math.max(1, runs.length))
    } else if (event.key === 'Enter' && open) {
      event.preventDefault()
      if (run && settled) choose(run)
    } else if (event.key === 'Escape' && open) {
      event.preventDefault()
      setText(null)
    }
  }
  return (
    <div className={cn('relative flex min-w-0 flex-col gap-1', className)}>
      <label htmlFor={id} className="font-medium">
        {label}
      </label>
      <Input
        id={id}
        role="combobox"
        aria-expanded={open}
        aria-controls={`${id}-list`}
        aria-autocomplete="list"
        aria-activedescendant={open && runs.length > 0 ? `${id}-${at}` : undefined}
        value={text ?? value}
        placeholder={placeholder}
        onChange={(event) => {
          setText(event.target.value)
          setPlace(0)
        }}
        onClick={() => setText((now) => now ?? '')}
        onBlur={() => setText(null)}
        onKeyDown={press}
        className="w-full font-mono"
        autoComplete="off"
        spellCheck={false}
      />
      <div className={cn('absolute inset-x-0 top-full z-30 mt-1 rounded-md border bg-popover shadow-lg', !open && 'hidden')}>
        <div
          id={`${id}-list`}
          role="listbox"
          tabIndex={-1}
          aria-label="Runs that are found"
          className="max-h-72 overflow-y-auto"
          // The focus stays in the control: the arrows move in the list.
          onMouseDown={(event) => event.preventDefault()}
        >
          {runs.map((run, each) => (
            <button
              key={run.run_id}
              id={`${id}-${each}`}
              type="button"
              role="option"
              aria-selected={each === at}
              tabIndex={-1}
              onClick={() => choose(run)}
              className="flex w-full flex-wrap items-baseline gap-x-3 px-2.5 py-1.5 text-left hover:bg-accent aria-selected:bg-accent"
            >
              <span className="min-w-0 grow font-mono text-xs break-all">{run.run_id}</span>
              <RunState state={run.state} stalled={run.stalled} />
              <span className="text-xs text-muted-foreground">
                <Ago at={run.created_at} />
              </span>
            </button>
          ))}
        </div>
        <p role="status" className={cn('px-2.5 py-1.5 text-xs text-muted-foreground', runs.length > 0 && !found.data?.next_cursor && 'sr-only')}>
          {found.error !== null
            ? found.error.message
            : found.data === undefined
              ? 'Runs are looked for …'
              : runs.length === 0
                ? 'No run has this in its name.'
                : found.data.next_cursor
                  ? `The newest ${SHOWN}; type to find others.`
                  : `${runs.length} runs`}
        </p>
      </div>
    </div>
  )
}
