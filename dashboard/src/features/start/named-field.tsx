import { ChoiceField } from './choice-field'
import { useForm } from './form-context'
import type { Choice } from './offered'

interface NamedFieldProps {
  name: string
  label: string
  choices: Choice[]
  /** What is said where nothing is chosen. */
  open?: string
}

/** A key whose value is a name out of one catalogue. */
export function NamedField({ name, label, choices, open }: NamedFieldProps) {
  const { change, standard, chosen } = useForm()
  return (
    <ChoiceField
      name={name}
      label={label}
      groups={[{ name: label, choices }]}
      chosen={chosen(name)}
      open={open}
      onChoose={(value) =>
        change(
          name.endsWith('strategy.name')
            ? { kind: 'name', key: name, name: value, standard: standard(name) }
            : { kind: 'set', key: name, value, standard: standard(name) },
        )
      }
    />
  )
}
