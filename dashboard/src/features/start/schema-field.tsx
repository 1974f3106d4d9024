import { fieldOf } from './field'
import { useForm } from './form-context'
import { ValueField } from './value-field'

/** A control for a key of the configuration, drawn from its JSON schema; nothing where nobody offers it. */
export function SchemaField({ name, label }: { name: string; label: string }) {
  const { offered } = useForm()
  const schema = offered.schemas[name]
  const field = schema && fieldOf(name, schema)
  return field ? <ValueField field={field} label={label} /> : null
}
