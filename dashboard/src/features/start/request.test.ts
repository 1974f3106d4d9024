import { describe, expect, it } from 'vitest'
import { keysIn } from './error-keys'
import { fromSearch, toSearch } from './link'
import { proposedRunId, runIdProblem } from './run-id'

describe('an error of the server', () => {
  const keys = ['federation.rounds', 'federation.clients_per_round', 'partition.parameters.alpha', 'partition.name', 'seed']

  it('is shown at each key that it names', () => {
    expect(keysIn('federation.clients_per_round is 20, but there are 10 clients', keys)).toEqual(['federation.clients_per_round'])
    expect(keysIn('strategy closed_form solves once, but federation.rounds is 3;', keys)).toEqual(['federation.rounds'])
  })

  it('is shown at the parameter that it names', () => {
    const error = 'nobody who is there takes this request. agent: its partition dirichlet takes for alpha a number above 0, not 0.'
    expect(keysIn(error, keys)).toEqual(['partition.parameters.alpha'])
  })

  it('does not take a part of a key for it', () => {
    expect(keysIn('partition.named is unknown; reseed', keys)).toEqual([])
  })
})

describe('the address of a draft', () => {
  it('holds all of it', () => {
    const draft = { phase: 'blood', profile: 'tuned', overrides: { 'federation.sites': [1, 'north'], seed: 3, 'partition.name': 'a=b' } }
    expect(fromSearch(new URLSearchParams(toSearch(draft).toString()))).toEqual(draft)
  })

  it('leaves out what cannot be read', () => {
    expect(fromSearch(new URLSearchParams('set=seed=&set=x={}&set=y=[[1]]')).overrides).toEqual({})
  })
})

describe('a run id', () => {
  it('says phase and time', () => {
    expect(proposedRunId('blood', new Date('2026-11-24T09:30:00Z'), () => 0.5)).toBe('blood-20261124-093000-8000')
  })

  it('is refused where it could be a path', () => {
    expect(['a/b', '', '.a', 'a'.repeat(65)].map((runId) => runIdProblem(runId) !== null)).toEqual([true, true, true, true])
    expect(runIdProblem('blood-1')).toBeNull()
  })
})
