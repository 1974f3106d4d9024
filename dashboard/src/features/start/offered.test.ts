import { describe, expect, it } from 'vitest'
import type { OfferOutput, OfferView } from '@/api/schema'
import { exclusions, offered, standard, standards } from './offered'

const named = (...names: string[]) => names.map((name) => ({ name, description: '', parameters: [] }))

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
      defaults: { values: { blood: { seed: 17, 'runtime.engine': 'inprocess' } }, engine: null, superlink: null, sites: null },
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
  it('is what the first profile says', () => {
    expect(standard([offer('a')], draft, 'seed')).toBe(17)
    expect(standard([offer('a')], { ...draft, profile: 'tuned' }, 'seed')).toBeUndefined()
  })

  it('is not known where claimants differ', () => {
    const defaults = { values: { blood: {} }, engine: 'superlink', superlink: 'fed:9092', sites: null }
    const views = [offer('a'), offer('b', { defaults })]
    expect(standard(views, draft, 'runtime.engine')).toBeUndefined()
    expect(standards(views, 'blood', 'runtime.engine')).toEqual(['inprocess', 'superlink'])
  })
})

describe('who does not take a request', () => {
  it('is named with the reason', () => {
    const asked = { ...draft, overrides: { 'runtime.engine': 'ray' } }
    expect(exclusions([offer('a'), offer('b', { engines: named('ray') })], asked)).toEqual([
      { claimant: 'a', reason: 'it has no engine ray; it has inprocess.' },
    ])
  })

  it('is nobody for a preset, or for the own data of sites', () => {
    const preset = { ...draft, overrides: { 'partition.name': 'hospital-skew' } }
    const own = { ...draft, overrides: { 'partition.name': 'none', 'federation.site_data': 'own' } }
    expect([preset, own].map((each) => exclusions([offer('a')], each))).toEqual([[], []])
  })
})
