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
    sites: distinct(views.flatMap((view) => view.offer.sites), (site) => `${site.site} ${site.name}`).sort((a, b) => a.site - b.site),
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
export function standards(views: OfferView[], draft: Draft, key: string): Value[] {
  return distinct(said(views, draft, key).filter((value) => value !== undefined), (value) => JSON.stringify(value))
}

function said(views: OfferView[], draft: Draft, key: string): (Value | undefined)[] {
  return views
    .filter((view) => view.offer.phases.some((each) => each.name === draft.phase))
    .map((view) => standardOf(view.offer, draft, key))
}

function standardOf(offer: OfferOutput, draft: Draft, key: string): Value | undefined {
  const { engine, sites } = offer.defaults
  if (key === KEYS.engine && engine !== null) return engine
  if (key === KEYS.sites && sites !== null) return sites
  return profileValue(offer, draft, key)
}

/** What a key is in the profile that is chosen; an earlier claimant says that of its first profile only. */
function profileValue({ profiles, defaults }: OfferOutput, { phase, profile }: Draft, key: string): Value | undefined {
  const differing = defaults.by_profile[profile]
  if (differing === undefined && profiles[0]?.name !== profile) return undefined
  const value = differing?.[phase]?.[key]
  return value === undefined ? defaults.values[phase]?.[key] : value
}

/** What a key is where the request leaves it out; `undefined` where claimants differ, or one does not say. */
export function standard(views: OfferView[], draft: Draft, key: string): Value | undefined {
  const known = standards(views, draft, key)
  return known.length === 1 && !said(views, draft, key).includes(undefined) ? known[0] : undefined
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
  return siteExclusion(offer, draft)
}

const MOST_SHOWN = 20

/** Why a request needs sites that a claimant does not reach; `null` where it has them, or that cannot be known. */
function siteExclusion(offer: OfferOutput, draft: Draft): string | null {
  const { overrides } = draft
  const { engine, superlink, sites } = offer.defaults
  // It does not go where the claimant's runs go.
  if (overrides[KEYS.engine] != null && overrides[KEYS.engine] !== engine) return null
  const named = sitesOf(overrides[KEYS.sites] ?? sites)
  if (superlink === null) {
    const name = named.find((site) => typeof site === 'string')
    return name === undefined ? null : `${KEYS.sites} names ${name}, and it has no SuperLink that knows names.`
  }
  if (offer.sites.length === 0) return null
  const clients = overrides[KEYS.clients] ?? profileValue(offer, draft, KEYS.clients)
  const wanted = named.length > 0 ? named : typeof clients === 'number' ? numbersBelow(Math.min(clients, offer.sites.length + 1)) : []
  const known = new Set(offer.sites.flatMap(({ site, name }) => [site, name]))
  if (wanted.every((site) => known.has(site))) return null
  const asked = named.length > 0 ? `${KEYS.sites} names ${named.slice(0, MOST_SHOWN).join(', ')}` : `${KEYS.clients} is ${String(clients)}`
  const shown = offer.sites.map(({ site, name }) => (name === `site-${site}` ? String(site) : `${name} (${site})`))
  const more = shown.length > MOST_SHOWN ? ' …' : ''
  return `${asked}, but its SuperLink has ${shown.length} sites: ${shown.slice(0, MOST_SHOWN).join(', ')}${more}.`
}

/** Numbers and names of sites, as a list or with commas between them. */
export function sitesOf(value: Value | undefined): (number | string)[] {
  const parts = typeof value === 'string' ? value.split(',') : Array.isArray(value) ? value : [value]
  return parts
    .filter((part) => typeof part === 'number' || typeof part === 'string')
    .map((part) => (/^\d{1,15}$/.test(String(part).trim()) ? Number(part) : String(part).trim()))
}

export function numbersBelow(count: number): number[] {
  return Array.from({ length: count }, (_, number) => number)
}

function distinct<Item>(items: Item[], key: (item: Item) => string): Item[] {
  return [...new Map(items.map((item) => [key(item), item])).values()]
}
