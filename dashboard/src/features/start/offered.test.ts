import { describe, expect, it } from 'vitest'
import type { OfferOutput, OfferView } from '@/api/schema'
import type { Overrides } from './draft'
import { exclusions, offered, standard, standards } from './offered'

const named = (...names: string[]) => names.map((name) => ({ name, description: '', parameters: [] }))

const DEFAULTS: OfferOutput['defaults'] = {
  values: { blood: { seed: 17, 'runtime.engine': 'inprocess', 'partition.clients': 10 } },
  by_profile: {}, engine: null, superlink: null, sites: null,
}

function offer(claimant: string, changes: Partial<OfferOutput> = {}): OfferView {
  return {
    claimant,
    offered_at: '2026-11-24T09:30:00Z',
    expires_at: '2026-11-24T09:31:00Z',
    offer: {
      phases: named('blood'),
      profiles: named('cpu-safe', 'tuned'),
      engines: named('inprocess'),
      partitions: named('dirichlet'),
      presets: named('hospital-skew'),
      strategies: named('fedavg'),
      backbones: named('untrained'),
      data: named('phantom'),
      overrides: { seed: { type: 'integer' } },
      defaults: { ...DEFAULTS },
      sites: [],
      checks: true,
      ...changes,
    },
  }
}

const draft = { phase: 'blood', profile: 'cpu-safe', overrides: {} }

describe('what claimants offer together', () => {
  it('is each choice once, with who offers it', () => {
    const together = offered([offer('a'), offer('b', { engines: named('inprocess', 'ray') })])
    expect(together.engines.map(({ name, claimants }) => [name, claimants])).toEqual([
      ['inprocess', ['a', 'b']],
      ['ray', ['b']],
    ])
  })

  it('is nothing where nobody is there', () => {
    expect(offered([])).toMatchObject({ claimants: [], phases: [], schemas: {} })
  })
})

describe('what a request that says nothing of a key gets', () => {
  it('is what the profile says', () => {
    const defaults = { ...DEFAULTS, by_profile: { tuned: { blood: { 'partition.clients': 3 } } } }
    const tuned = { ...draft, profile: 'tuned' }
    expect(standard([offer('a')], draft, 'seed')).toBe(17)
    expect(['seed', 'partition.clients'].map((key) => standard([offer('a', { defaults })], tuned, key))).toEqual([17, 3])
  })

  it('is not known in a profile of which an earlier claimant says nothing', () => {
    const defaults = { ...DEFAULTS, by_profile: { tuned: {} } }
    const tuned = { ...draft, profile: 'tuned' }
    expect(standard([offer('a')], tuned, 'seed')).toBeUndefined()
    expect(standard([offer('a', { defaults }), offer('b')], tuned, 'seed')).toBeUndefined()
    expect(standard([offer('a', { defaults })], tuned, 'seed')).toBe(17)
  })

  it('is not known where claimants differ', () => {
    const defaults = { ...DEFAULTS, engine: 'superlink', superlink: 'fed:9092' }
    const views = [offer('a'), offer('b', { defaults })]
    expect(standard(views, draft, 'runtime.engine')).toBeUndefined()
    expect(standards(views, draft, 'runtime.engine')).toEqual(['inprocess', 'superlink'])
  })
})

describe('who does not take a request', () => {
  it('is named with the reason', () => {
    const asked = { ...draft, overrides: { 'runtime.engine': 'ray' } }
    expect(exclusions([offer('a'), offer('b', { engines: named('ray') })], asked)).toEqual([
      { claimant: 'a', reason: 'it has no engine ray; it has inprocess.' },
    ])
  })

  it('is whoever does not reach the sites, in the words of the monitor', () => {
    const sites = [{ site: 0, name: 'site-0' }, { site: 1, name: 'berlin' }, { site: 3, name: 'ulm' }]
    const defaults = { ...DEFAULTS, engine: 'superlink', superlink: 'fed:9092' }
    const reason = (overrides: Overrides) => exclusions([offer('a', { defaults, sites, engines: named('superlink', 'ray') })], { ...draft, overrides })[0]?.reason
    const reached = 'but its SuperLink has 3 sites: 0, berlin (1), ulm (3).'
    expect(reason({})).toBe(`partition.clients is 10, ${reached}`)
    expect(reason({ 'partition.clients': 3 })).toBe(`partition.clients is 3, ${reached}`)
    expect(reason({ 'federation.sites': ['ulm', 2] })).toBe(`federation.sites names ulm, 2, ${reached}`)
    const reachable: Overrides[] = [{ 'partition.clients': 2 }, { 'federation.sites': '1, ulm' }, { 'runtime.engine': 'ray' }]
    expect(reachable.map(reason)).toEqual([undefined, undefined, undefined])
    expect(exclusions([offer('b')], { ...draft, overrides: { 'federation.sites': ['ulm'] } })[0]?.reason).toBe(
      'federation.sites names ulm, and it has no SuperLink that knows names.',
    )
  })

  it('is nobody for a preset, or for the own data of sites', () => {
    const preset = { ...draft, overrides: { 'partition.name': 'hospital-skew' } }
    const own = { ...draft, overrides: { 'partition.name': 'none', 'federation.site_data': 'own' } }
    expect([preset, own].map((each) => exclusions([offer('a')], each))).toEqual([[], []])
  })
})
