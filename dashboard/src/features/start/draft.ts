import type { RunRequestOutput } from '@/api/schema'

export type Overrides = RunRequestOutput['overrides']
export type Value = Overrides[string]

/** What is about to be asked for: only what differs from the profile is in `overrides`. */
export interface Draft {
  phase: string
  profile: string
  overrides: Overrides
}

/** Keys that are the main form's; all others stand under "Advanced". */
export const KEYS = {
  data: 'dataset.source',
  backbone: 'backbone.name',
  partition: 'partition.name',
  clients: 'partition.clients',
  siteData: 'federation.site_data',
  sites: 'federation.sites',
  rounds: 'federation.rounds',
  strategy: 'federation.strategy.name',
  engine: 'runtime.engine',
  seed: 'seed',
} as const

export const OWN_DATA = 'own'
const PARTITION_PARAMETERS = 'partition.parameters.'
const STRATEGY_PARAMETERS = 'federation.strategy.parameters.'
const PRESET = 'partition.preset.'
const RUNTIME = 'runtime.'

/** The key of a parameter of what is chosen by `nameKey`. */
export function parameterKey(nameKey: string, parameter: string): string {
  return `${sectionOf(nameKey)}parameters.${parameter}`
}

export function sameValue(one: Value | undefined, other: Value | undefined): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}

/**
 * The draft with a key set; one that is set to what it would be anyway is not sent.
 *
 * @param standard what the profile says, `undefined` where that is not known.
 */
export function withValue(draft: Draft, key: string, value: Value, standard: Value | undefined): Draft {
  const overrides = { ...draft.overrides, [key]: value }
  if (standard !== undefined && sameValue(value, standard)) delete overrides[key]
  return { ...draft, overrides }
}

export function withoutKey(draft: Draft, key: string): Draft {
  const overrides = { ...draft.overrides }
  delete overrides[key]
  return { ...draft, overrides }
}

/** The draft without the keys that are what the profile says anyway, as a run's own request may hold them. */
export function withoutStandards(draft: Draft, standard: (key: string) => Value | undefined): Draft {
  const kept = Object.entries(draft.overrides).filter(([key, value]) => !sameValue(value, standard(key)))
  return { ...draft, overrides: Object.fromEntries(kept) }
}

/** The draft with another partition or strategy: the parameters and the preset of the former go. */
export function withName(draft: Draft, nameKey: string, name: string, standard: Value | undefined): Draft {
  return withValue(withoutName(draft, nameKey), nameKey, name, standard)
}

/** The draft where each site brings its own data: nothing is spread over them, so nothing is said of how. */
export function withOwnData(draft: Draft, standard: Value | undefined): Draft {
  return withValue(withoutName(draft, KEYS.partition), KEYS.siteData, OWN_DATA, standard)
}

function withoutName(draft: Draft, nameKey: string): Draft {
  const section = sectionOf(nameKey)
  const kept = Object.entries(draft.overrides).filter(
    ([key]) =>
      key !== nameKey && !key.startsWith(`${section}parameters.`) && !(section === 'partition.' && key.startsWith(PRESET)),
  )
  return { ...draft, overrides: Object.fromEntries(kept) }
}

/**
 * What a page may not ask for, and why: it is left out when a run is taken as the pattern of another.
 *
 * The engine alone of `runtime` is chosen by a name that is offered.
 */
export function takenOver(overrides: Overrides): { kept: Overrides; left: string[] } {
  const left = Object.keys(overrides).filter((key) => key.startsWith(RUNTIME) && key !== KEYS.engine)
  const kept = Object.fromEntries(Object.entries(overrides).filter(([key]) => !left.includes(key)))
  return { kept, left }
}

/** Whether a draft holds a preset whole, as a run does whose preset was a file. */
export function holdsPreset(draft: Draft): boolean {
  return Object.keys(draft.overrides).some((key) => key.startsWith(PRESET))
}

/** Whether a key stands in the main form, beside what it belongs to. */
export function isMainKey(key: string): boolean {
  return (
    (Object.values(KEYS) as string[]).includes(key) ||
    [PARTITION_PARAMETERS, STRATEGY_PARAMETERS, PRESET].some((start) => key.startsWith(start))
  )
}

/** Whether a page may set it at all. */
export function isSettable(key: string): boolean {
  return !key.startsWith(RUNTIME) || key === KEYS.engine
}

function sectionOf(nameKey: string): string {
  return nameKey.slice(0, -'name'.length)
}
