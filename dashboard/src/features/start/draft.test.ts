import { describe, expect, it } from 'vitest'
import { isMainKey, isSettable, takenOver, withName, withValue, withoutKey, type Draft } from './draft'

const draft: Draft = { phase: 'blood', profile: 'cpu-safe', overrides: { 'federation.rounds': 5 } }

describe('a draft', () => {
  it('sends no key that is what the profile says anyway', () => {
    expect(withValue(draft, 'federation.rounds', 20, 20).overrides).toEqual({})
    expect(withValue(draft, 'federation.rounds', 20, undefined).overrides).toEqual({ 'federation.rounds': 20 })
  })

  it('compares lists by what is in them', () => {
    expect(withValue(draft, 'federation.sites', [1, 2], [1, 2]).overrides).toEqual({ 'federation.rounds': 5 })
  })

  it('leaves the former parameters and preset behind with another partition', () => {
    const before = { ...draft, overrides: { 'partition.parameters.alpha': 0.1, 'partition.preset.story': 'x', seed: 3 } }
    expect(withName(before, 'partition.name', 'iid', 'dirichlet').overrides).toEqual({ 'partition.name': 'iid', seed: 3 })
  })

  it('keeps the parameters of the partition when the strategy changes', () => {
    const before = { ...draft, overrides: { 'partition.parameters.alpha': 0.1, 'federation.strategy.parameters.eta': 1 } }
    expect(withName(before, 'federation.strategy.name', 'fedavg', 'fedavg').overrides).toEqual({
      'partition.parameters.alpha': 0.1,
    })
  })

  it('takes a key back', () => {
    expect(withoutKey(draft, 'federation.rounds').overrides).toEqual({})
  })

  it('leaves out what a page may not ask for when it is filled from a run', () => {
    const taken = takenOver({ 'runtime.workers': 2, 'runtime.engine': 'ray', seed: 1 })
    expect(taken).toEqual({ kept: { 'runtime.engine': 'ray', seed: 1 }, left: ['runtime.workers'] })
  })

  it('tells main keys from advanced ones', () => {
    expect(['seed', 'partition.parameters.alpha', 'learning.epochs'].map(isMainKey)).toEqual([true, true, false])
    expect(['runtime.engine', 'runtime.workers', 'learning.epochs'].map(isSettable)).toEqual([true, false, true])
  })
})
