import { describe, expect, it } from 'vitest'
import type { Series } from '@/api/schema'
import { obstacles } from './comparability'
import { overlaid } from './curves'
import { differences, flat, type Described } from './differences'
import { compared, direction } from './scores'
import { siteChanges, type SiteEvaluated } from './sites'

function described(changes: Partial<Described> = {}): Described {
  return {
    schema_version: 1, event_id: 'e', emitter_id: 'server', emitter_seq: 1, ts: '2026-11-24T12:00:00Z', run_id: 'r', attempt: 1,
    round: 0, node_id: 'server', role: 'server', latency_ms: null, payload_bytes: null, metrics: {},
    type: 'run_described', status: 'described', phase: 'blood',
    configuration: { seed: 17, federation: { rounds: 3, strategy: { name: 'fedavg', parameters: {} } } },
    artifacts: {},
    data: {
      site_data: 'partition', source: 'phantom', official: false, phantom: true, title: 't', fingerprint: 'f', licence: 'l',
      rows: { test: 120 }, class_names: ['a'],
    },
    backbone: { name: 'untrained', sha256: 's', trained: false, block_from: null },
    partition: null,
    code: { version: '0.1', commit: 'c', packages: { torch: '2' } },
    ...changes,
  }
}

describe('what two runs are made of', () => {
  it('is the same where nothing differs', () => {
    expect(differences(described(), described()).flatMap((each) => each.differences)).toEqual([])
  })

  it('is said key by key, also where only one run has the key', () => {
    const other = described({
      configuration: { seed: 17, federation: { rounds: 5, strategy: { name: 'fedprox', parameters: { mu: 0.1 } } } },
      code: { version: '0.1', commit: 'c', packages: { torch: '3', flwr: '1' } },
    })
    const found = differences(described(), other).flatMap(({ name, differences: each }) => each.map((one) => [name, one.key, one.a, one.b]))
    expect(found).toEqual([
      ['Configuration', 'federation.rounds', '3', '5'],
      ['Configuration', 'federation.strategy.name', 'fedavg', 'fedprox'],
      ['Configuration', 'federation.strategy.parameters.mu', undefined, '0.1'],
      ['Packages', 'flwr', undefined, '1'],
      ['Packages', 'torch', '2', '3'],
    ])
  })

  it('keeps lists whole', () => {
    expect([...flat({ a: { b: [1, 2] }, c: null })]).toEqual([['a.b', '1, 2'], ['c', 'none']])
  })
})

describe('scores of two runs', () => {
  it('cannot be held against each other over other test data or another phase', () => {
    expect(obstacles(described(), described())).toEqual([])
    const other = described({ phase: 'derma', data: { ...described().data, fingerprint: 'g', rows: { test: 9 } } })
    expect(obstacles(described(), other)).toEqual([
      'their phases differ (blood, derma)', 'their images differ', 'their test splits differ (120 rows, 9 rows)',
    ])
  })

  it('differ without telling anything where their intervals overlap', () => {
    const a = { metrics: { accuracy: 0.8, loss: 1, f1: 0.5 }, intervals: { accuracy: { low: 0.75, high: 0.85 }, f1: { low: 0.4, high: 0.6 } } }
    const b = { metrics: { accuracy: 0.84, f1: 0.9 }, intervals: { accuracy: { low: 0.8, high: 0.88 }, f1: { low: 0.8, high: 1 } } }
    const found = compared(a, b)
    expect(found.map(({ name, telling }) => [name, telling])).toEqual([['accuracy', 'unsure'], ['loss', 'unknown'], ['f1', 'yes']])
    expect(found[0]?.change).toBeCloseTo(0.04)
  })

  it('are better when higher, and a loss when lower', () => {
    expect([direction('accuracy', 0.1), direction('loss', 0.1), direction('loss', 0), direction('f1', undefined)]).toEqual([
      'better', 'worse', 'same', 'unknown',
    ])
  })
})

describe('the change per site', () => {
  const at = (node: string, accuracy: number): SiteEvaluated => ({
    ...described(), type: 'site_evaluated', status: 'evaluated', node_id: node, rows: 10, last_round: 3, local_metrics: {}, intervals: {},
    metrics: { accuracy },
  } as unknown as SiteEvaluated)

  it('counts sites as numbers, takes the latest attempt, and names sites that only one run has', () => {
    const found = siteChanges([at('client-10', 0.5), at('client-2', 0.1), at('client-2', 0.4)], [at('client-2', 0.6)], 'accuracy')
    expect(found.map(({ node, score }) => [node, score.a, score.b])).toEqual([['client-2', 0.4, 0.6], ['client-10', 0.5, undefined]])
    expect(found[0]?.score.change).toBeCloseTo(0.2)
  })
})

describe('curves', () => {
  const series = (...points: [number, number | null][]): Series => ({
    round: points.map(([round]) => round),
    columns: { accuracy: points.map(([, value]) => value) },
    sites: [],
  })

  it('share an axis, and leave out rounds in which nothing is known', () => {
    expect(overlaid(series([1, 0.1], [2, null], [3, 0.3]), series([2, 0.2], [4, null]), 'accuracy')).toEqual([
      { round: 1, a: 0.1 }, { round: 2, b: 0.2 }, { round: 3, a: 0.3 },
    ])
    expect(overlaid(series([1, 0.1]), series(), 'loss')).toEqual([])
  })

  it('have at most 600 points each', () => {
    const long = series(...Array.from({ length: 10_000 }, (_, round): [number, number] => [round, Math.sin(round)]))
    expect(overlaid(long, series(), 'accuracy').length).toBeLessThanOrEqual(600)
  })
})
