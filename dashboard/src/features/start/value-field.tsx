import { Input, Select } from '@/components/ui/field'
import { limits, written, type Field } from './field'
import { FieldRow } from './field-row'
import { useForm } from './form-context'
import type { Value } from './draft'

interface ValueFieldProps {
  field: Field
  label: string
  /** What the key is where nothing is sent, where that is not the profile's. */
  standard?: Value | undefined
  hint?: string
  className?: string
}

/** A control for one value, as its schema wants it. */
export function ValueField({ field, label, hint, className, ...given }: ValueFieldProps) {
  const { state, change, standard: standardOf, unset } = useForm()
  const standard = 'standard' in given ? given.standard : standardOf(field.key)
  const writing = state.writing[field.key]
  const value = field.key in state.draft.overrides ? state.draft.overrides[field.key] : standard
  const named = field.kind === 'choice' || field.kind === 'boolean'
  const choices = field.kind === 'boolean' ? ['true', 'false'] : field.choices.map(String)
  const write = (text: string) => change({ kind: 'write', field, text, standard })
  const hints = [field.description, named ? '' : limits(field), hint].filter((each) => each)
  return (
    <FieldRow name={field.key} label={label} hint={hints.join(' · ')} problem={writing?.problem ?? null} {...(className && { className })}>
      {(control) =>
        named ? (
          <Select {...control} value={value == null ? '' : String(value)} onChange={(event) => write(event.target.value)}>
            {(standard === undefined || field.optional) && <option value="">{standard === undefined ? unset(field.key) : 'none'}</option>}
            {choices.map((choice) => (
              <option key={choice} value={choice}>
                {field.kind === 'boolean' ? (choice === 'true' ? 'yes' : 'no') : choice}
              </option>
            ))}
          </Select>
        ) : (
          <Input
            {...control}
            value={writing?.text ?? written(value)}
            onChange={(event) => write(event.target.value)}
            onBlur={() => change({ kind: 'leave', key: field.key })}
            inputMode={field.kind === 'integer' ? 'numeric' : field.kind === 'number' ? 'decimal' : 'text'}
            placeholder={standard === undefined ? unset(field.key) : field.optional ? 'none' : ''}
            autoComplete="off"
            spellCheck={false}
          />
        )
      }
    </FieldRow>
  )
}
