import { ChoiceField, type ChoiceGroup } from './choice-field'
import { holdsPreset, KEYS, OWN_DATA, withName, withOwnData, withoutKey, type Draft } from './draft'
import { useForm } from './form-context'
import type { Offered } from './offered'
import { ParameterFields } from './parameter-fields'

const OWN = 'each site its own data'

/** Who holds what: a preset, a partition with its parameters, or what the sites bring. */
export function PartitionFields() {
  const { offered, state, change, standard, chosen } = useForm()
  const { draft } = state
  const own = chosen(KEYS.siteData) === OWN_DATA
  const name = own ? OWN : chosen(KEYS.partition)
  const choose = (next: string) => change({ kind: 'take', draft: repartitioned(draft, next, standard) })
  return (
    <>
      <ChoiceField
        name={own ? KEYS.siteData : KEYS.partition}
        label="Who holds what"
        groups={groupsOf(offered, draft, name)}
        chosen={name}
        onChoose={choose}
      />
      <ParameterFields nameKey={KEYS.partition} choice={offered.partitions.find((each) => each.name === name)} />
    </>
  )
}

function repartitioned(draft: Draft, next: string, standard: ReturnType<typeof useForm>['standard']): Draft {
  if (next === OWN) return withOwnData(draft, standard(KEYS.siteData))
  return withName(withoutKey(draft, KEYS.siteData), KEYS.partition, next, standard(KEYS.partition))
}

function groupsOf(offered: Offered, draft: Draft, name: string | undefined): ChoiceGroup[] {
  const whole = { description: '', parameters: [], claimants: offered.claimants }
  const kept = holdsPreset(draft) && name !== undefined ? [{ ...whole, name, description: 'a preset from a file, as the run had it' }] : []
  const groups = [
    { name: 'As the run had it', choices: kept },
    { name: 'Presets', choices: offered.presets },
    { name: 'Partitions', choices: offered.partitions },
    { name: 'No partition', choices: offered.claimants.length > 0 ? [{ ...whole, name: OWN }] : [] },
  ]
  return groups.filter((group) => group.choices.length > 0)
}
