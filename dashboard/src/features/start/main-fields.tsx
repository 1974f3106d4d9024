import type { ReactNode } from 'react'
import { ChoiceField } from './choice-field'
import { KEYS } from './draft'
import { useForm } from './form-context'
import { NamedField } from './named-field'
import { standards } from './offered'
import { ParameterFields } from './parameter-fields'
import { PartitionFields } from './partition-fields'
import { SchemaField } from './schema-field'
import { SiteFields } from './site-fields'

/** What nearly every request says something of. */
export function MainFields() {
  const { offered, views, state, chosen } = useForm()
  const engines = standards(views, state.draft, KEYS.engine).map(String)
  return (
    <div className="flex flex-col divide-y">
      <Group>
        <PhaseFields />
        <NamedField name={KEYS.data} label="Images" choices={offered.data} />
        <NamedField name={KEYS.backbone} label="Backbone" choices={offered.backbones} />
      </Group>
      <Group>
        <SiteFields />
        <SchemaField name={KEYS.rounds} label="Rounds" />
        <PartitionFields />
      </Group>
      <Group>
        <NamedField name={KEYS.strategy} label="Strategy" choices={offered.strategies} />
        <ParameterFields
          nameKey={KEYS.strategy}
          choice={offered.strategies.find((each) => each.name === chosen(KEYS.strategy))}
        />
        <NamedField
          name={KEYS.engine}
          label="Engine"
          choices={offered.engines}
          open={`as whoever carries it out has it: ${engines.join(' or ')}`}
        />
        <SchemaField name={KEYS.seed} label="Seed" />
      </Group>
    </div>
  )
}

function PhaseFields() {
  const { offered, state, change } = useForm()
  const { draft } = state
  return (
    <>
      <ChoiceField
        name="phase"
        label="Phase"
        groups={[{ name: 'Phases', choices: offered.phases }]}
        chosen={draft.phase}
        onChoose={(phase) => change({ kind: 'take', draft: { ...draft, phase } })}
      />
      <ChoiceField
        name="profile"
        label="Profile"
        groups={[{ name: 'Profiles', choices: offered.profiles }]}
        chosen={draft.profile}
        hint={draft.profile === offered.profiles[0]?.name ? '' : 'what is not set is as this profile says'}
        onChoose={(profile) => change({ kind: 'take', draft: { ...draft, profile } })}
      />
    </>
  )
}

function Group({ children }: { children: ReactNode }) {
  return <div className="grid gap-x-4 gap-y-3 px-3 py-4 sm:grid-cols-2">{children}</div>
}
