import { Select } from '@/components/ui/field'
import { FieldRow } from './field-row'
import { useForm } from './form-context'
import type { Choice, Offered } from './offered'

export interface ChoiceGroup {
  name: string
  choices: Choice[]
}

interface ChoiceFieldProps {
  name: string
  label: string
  groups: ChoiceGroup[]
  /** What is chosen; `undefined` where that is left to the profile, or to whoever carries it out. */
  chosen: string | undefined
  /** What is said where nothing is chosen; the choice is then not among those that can be made. */
  open?: string | undefined
  hint?: string
  onChoose: (name: string) => void
}

/** Something that is chosen by a name which claimants offer. */
export function ChoiceField({ name, label, groups, chosen, open, hint, onChoose }: ChoiceFieldProps) {
  const { offered, unset } = useForm()
  const choices = groups.flatMap((group) => group.choices)
  const choice = choices.find((each) => each.name === chosen)
  const unknown = chosen !== undefined && choice === undefined
  const hints = [choice?.description, choice && onlyBy(choice, offered), hint].filter((each) => each)
  return (
    <FieldRow
      name={name}
      label={label}
      hint={hints.join(' · ')}
      problem={unknown && choices.length > 0 ? `${chosen} is not offered; there is ${choices.map((each) => each.name).join(', ')}.` : null}
    >
      {(control) => (
        <Select {...control} value={chosen ?? ''} onChange={(event) => onChoose(event.target.value)}>
          {chosen === undefined && <option value="">{open ?? unset(name)}</option>}
          {unknown && <option value={chosen}>{chosen} (not offered)</option>}
          {groups.length === 1
            ? groups[0]?.choices.map((each) => <Option key={each.name} choice={each} offered={offered} />)
            : groups.map((group) => (
                <optgroup key={group.name} label={group.name}>
                  {group.choices.map((each) => (
                    <Option key={each.name} choice={each} offered={offered} />
                  ))}
                </optgroup>
              ))}
        </Select>
      )}
    </FieldRow>
  )
}

function Option({ choice, offered }: { choice: Choice; offered: Offered }) {
  return (
    <option value={choice.name}>
      {choice.name}
      {choice.claimants.length < offered.claimants.length ? ' (not everybody)' : ''}
    </option>
  )
}

function onlyBy(choice: Choice, offered: Offered): string {
  return choice.claimants.length < offered.claimants.length ? `offered only by ${choice.claimants.join(', ')}` : ''
}
