import { parameterKey, type Value } from './draft'
import { parameterField } from './field'
import { useForm } from './form-context'
import type { Choice } from './offered'
import { ValueField } from './value-field'

/** The parameters of a partition or a strategy, with their limits. */
export function ParameterFields({ nameKey, choice }: { nameKey: string; choice: Choice | undefined }) {
  const { standard } = useForm()
  if (!choice || choice.parameters.length === 0) return null
  const ofProfile = standard(nameKey) === choice.name
  return choice.parameters.map((parameter) => {
    const key = parameterKey(nameKey, parameter.name)
    const own = parameter.default ?? undefined
    const said: Value | undefined = ofProfile ? (standard(key) ?? own) : own
    return (
      <ValueField
        key={key}
        field={parameterField(key, parameter)}
        label={parameter.name.replaceAll('_', ' ')}
        standard={said}
        {...(parameter.required && { hint: 'needed' })}
      />
    )
  })
}
