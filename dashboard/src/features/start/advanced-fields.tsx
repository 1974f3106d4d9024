import { useState } from 'react'
import { Input } from '@/components/ui/field'
import { Button } from '@/components/ui/button'
import { isMainKey, isSettable, KEYS } from './draft'
import { fieldOf, written, type Field } from './field'
import { useForm } from './form-context'
import { ValueField } from './value-field'

/** Every other key of the configuration, by its JSON schema; what is changed is listed even while it is not looked for. */
export function AdvancedFields() {
  const { offered, state } = useForm()
  const [wanted, setWanted] = useState('')
  const fields = advanced(offered.schemas, offered.sites.length > 0)
  const changed = fields.filter((field) => field.key in state.draft.overrides)
  const [open, setOpen] = useState(changed.length > 0)
  const [onlyChanged, setOnlyChanged] = useState(changed.length > 0)
  const found = (onlyChanged ? changed : fields).filter((field) => isFound(field.key, wanted))
  return (
    <details className="border-t" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary className="px-3 py-2 font-medium">
        Advanced
        <span className="ml-2 font-normal text-muted-foreground">
          {fields.length} more keys{changed.length > 0 ? `, ${changed.length} changed` : ''}
        </span>
      </summary>
      <div className="flex flex-col gap-4 px-3 pb-4">
        <div className="flex flex-wrap items-end gap-x-5 gap-y-2">
          <label className="flex min-w-0 grow flex-col gap-1 sm:max-w-sm">
            <span className="font-medium">Look for a key</span>
            <Input
              type="search"
              value={wanted}
              onChange={(event) => {
                setWanted(event.target.value)
                setOnlyChanged(false)
              }}
              placeholder="learning rate"
            />
          </label>
          <label className="flex h-8 items-center gap-1.5">
            <input type="checkbox" checked={onlyChanged} onChange={(event) => setOnlyChanged(event.target.checked)} />
            Only what is changed
          </label>
        </div>
        <p role="status" className="sr-only">
          {wanted || onlyChanged ? `${found.length} keys` : ''}
        </p>
        {found.length === 0 ? (
          <p className="text-muted-foreground">
            {onlyChanged ? 'No key is changed.' : `No key has “${wanted}” in its name.`}
          </p>
        ) : (
          <div className="grid gap-x-4 gap-y-3 sm:grid-cols-2">
            {found.map((field) => (
              <ValueField key={field.key} field={field} label={field.key} />
            ))}
          </div>
        )}
        <p className="text-xs text-muted-foreground">
          Keys of <code className="font-mono">runtime</code> besides the engine are of whoever carries the run out, and cannot be set here.
        </p>
      </div>
    </details>
  )
}

/** Keys of the request that no page may set, or nobody who is there knows: they came from another run or a link. */
export function UnknownKeys() {
  const { offered, state, change } = useForm()
  const unknown = Object.keys(state.draft.overrides).filter(
    (key) => !isSettable(key) || (offered.claimants.length > 0 && !isMainKey(key) && !(key in offered.schemas)),
  )
  if (unknown.length === 0) return null
  return (
    <ul className="flex flex-col gap-1 border-t px-3 py-3">
      {unknown.map((key) => (
        <li key={key} className="flex flex-wrap items-baseline gap-x-3">
          <span className="min-w-0 break-all">
            <code className="font-mono text-xs">
              {key} = {written(state.draft.overrides[key])}
            </code>
            <span className="text-destructive">
              {isSettable(key) ? ' ✕ nobody who is there knows this key' : ' ✕ is of whoever carries the run out'}
            </span>
          </span>
          <Button variant="link" onClick={() => change({ kind: 'reset', key })}>
            leave it out
          </Button>
        </li>
      ))}
    </ul>
  )
}

function isFound(key: string, wanted: string): boolean {
  return wanted.toLowerCase().split(/[\s_.]+/).every((part) => key.includes(part))
}

function advanced(schemas: ReturnType<typeof useForm>['offered']['schemas'], sitesAreMain: boolean): Field[] {
  return Object.entries(schemas)
    .filter(([key]) => isSettable(key) && (!isMainKey(key) || (key === KEYS.sites && !sitesAreMain)))
    .map(([key, schema]) => fieldOf(key, schema))
    .filter((field) => field !== null)
}
