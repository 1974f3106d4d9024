import { Button } from '@/components/ui/button'
import { Input } from '@/components/ui/field'
import { written } from './field'
import { useForm } from './form-context'

/** Phase and profile by hand, where nobody is there who says which there are; keys of a link or a run stay. */
export function UnofferedFields() {
  const { state, change } = useForm()
  const { draft } = state
  const keys = Object.keys(draft.overrides)
  return (
    <div className="flex flex-col gap-4 px-3 py-4">
      <div className="grid gap-x-4 gap-y-3 sm:grid-cols-2">
        <label className="flex flex-col gap-1">
          <span className="font-medium">Phase</span>
          <Input
            value={draft.phase}
            onChange={(event) => change({ kind: 'take', draft: { ...draft, phase: event.target.value.trim() } })}
            autoComplete="off"
          />
        </label>
        <label className="flex flex-col gap-1">
          <span className="font-medium">Profile</span>
          <Input
            value={draft.profile}
            onChange={(event) => change({ kind: 'take', draft: { ...draft, profile: event.target.value.trim() } })}
            autoComplete="off"
          />
        </label>
      </div>
      {keys.length > 0 && (
        <section aria-label="Keys that differ from the profile">
          <ul className="flex flex-col gap-1">
            {keys.map((key) => (
              <li key={key} className="flex flex-wrap items-baseline gap-x-3">
                <code className="min-w-0 font-mono text-xs break-all">
                  {key} = {written(draft.overrides[key])}
                </code>
                <Button variant="link" onClick={() => change({ kind: 'reset', key })} aria-label={`leave it out: ${key}`}>
                  leave it out
                </Button>
              </li>
            ))}
          </ul>
        </section>
      )}
    </div>
  )
}
