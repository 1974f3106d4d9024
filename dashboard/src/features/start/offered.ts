import type { ChoiceOfferOutput, OfferOutput, OfferView, SiteOffer } from '@/api/schema'
import { holdsPreset, KEYS, OWN_DATA, type Draft, type Value } from './draft'

/** Something that is chosen by its name, and who offers it. */
export interface Choice extends ChoiceOfferOutput {
  claimants: string[]
}

type Catalogue = 'phases' | 'profiles' | 'engines' | 'partitions' | 'presets' | 'strategies' | 'backbones' | 'data'

/** What all claimants offer together: a request is taken up by whoever takes all of it. */
export interface Offered extends Record<Catalogue, Choice[]> {
  claimants: string[]
  /** By dotted key, the JSON schema of its value. */
  schemas: OfferOutput['overrides']
  sites: SiteOffer[]
}

const CATALOGUES: Catalogue[] = [
  'phases', 'profiles', 'engines', 'partitions', 'presets', 'strategies', 'backbones', 'data',
]

export function offered(views: OfferView[]): Offered {
  const together = Object.fromEntries(CATALOGUES.map((each) => [each, choices(views, each)]))
  return {
    ...(together as Record<Catalogue, Choice[]>),
    claimants: views.map((view) => view.claimant),
    schemas: Object.assign({}, ...[...views].reverse().map((view) => view.offer.overrides)) as OfferOutput['overrides'],
    sites: distinct(views.flatMap((view) => view.offer.sites), (site) => site.name),
  }
}

function choices(views: OfferView[], catalogue: Catalogue): Choice[] {
  const byName = new Map<string, Choice>()
  for (const view of views) {
    for (const choice of view.offer[catalogue]) {
      const known = byName.get(choice.name)
      if (known) known.claimants.push(view.claimant)
      else byName.set(choice.name, { ...choice, claimants: [view.claimant] })
    }
  }
  return [...byName.values()]
}

/** The different things that claimants take where a request says nothing of a key; none where nobody says. */
export function standards(views: OfferView[], phase: string, key: string): Value[] {
  const said = views
    .filter((view) => view.offer.phases.some((each) => each.name === phase))
    .map((view) => standardOf(view.offer, phase, key))
    .filter((value) => value !== undefined)
  return distinct(said, (value) => JSON.stringify(value))
}

function standardOf(offer: OfferOutput, phase: string, key: string): Value | undefined {
  const { values, engine, sites } = offer.defaults
  if (key === KEYS.engine && engine !== null) return engine
  if (key === KEYS.sites && sites !== null) return sites
  return values[phase]?.[key]
}

/**
 * What a key is where the request leaves it out; `undefined` where that cannot be known here: claimants differ, or the
 * profile is not the first, of which alone they say what it holds.
 */
export function standard(views: OfferView[], draft: Draft, key: string): Value | undefined {
  const said = standards(views, draft.phase, key)
  const first = views.every((view) => view.offer.profiles[0]?.name === draft.profile)
  return said.length === 1 && (first || key === KEYS.engine) ? said[0] : undefined
}

/** Who does not take a request up, and why; the same rules by which the monitor refuses what nobody takes. */
export function exclusions(views: OfferView[], draft: Draft): { claimant: string; reason: string }[] {
  return views.flatMap((view) => {
    const reason = exclusion(view.offer, draft)
    return reason ? [{ claimant: view.claimant, reason }] : []
  })
}

function exclusion(offer: OfferOutput, draft: Draft): string | null {
  const { phase, profile, overrides } = draft
  const ownPartition = overrides[KEYS.siteData] === OWN_DATA || holdsPreset(draft)
  const chosen: [string, Value | undefined, ChoiceOfferOutput[]][] = [
    ['phase', phase, offer.phases],
    ['profile', profile, offer.profiles],
    ['engine', overrides[KEYS.engine], offer.engines],
    ['partition', ownPartition ? undefined : overrides[KEYS.partition], [...offer.partitions, ...offer.presets]],
    ['strategy', overrides[KEYS.strategy], offer.strategies],
    ['data source', overrides[KEYS.data], offer.data],
    ['backbone', overrides[KEYS.backbone], offer.backbones],
  ]
  for (const [noun, name, known] of chosen) {
    if (name != null && !known.some((each) => each.name === name)) {
      return `it has no ${noun} ${String(name)}; it has ${known.map((each) => each.name).join(', ')}.`
    }
  }
  return null
}

function distinct<Item>(items: Item[], key: (item: Item) => string): Item[] {
  return [...new Map(items.map((item) => [key(item), item])).values()]
}
