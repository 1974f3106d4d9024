import { expect, it } from 'vitest'
import { fieldOf, type Field } from './field'
import { formReducer, startOf, wrongKeys } from './form-state'

const fraction = fieldOf('learning.warmup_ratio', { exclusiveMaximum: 1, minimum: 0, type: 'number' }) as Field
const start = startOf({ phase: 'blood', profile: 'cpu-safe', overrides: { 'partition.parameters.alpha': 0.1 } })

function written(...texts: string[]) {
  return texts.reduce((state, text) => formReducer(state, { kind: 'write', field: fraction, text, standard: 0.05 }), start)
}

it('keeps what is being written as it is written', () => {
  const state = written('0', '0.', '0.2')
  expect(state.draft.overrides['learning.warmup_ratio']).toBe(0.2)
  expect(written('0.').writing['learning.warmup_ratio']?.text).toBe('0.')
})

it('sends nothing new while what is written is wrong, and keeps it to be mended', () => {
  const state = formReducer(written('0.2', '2'), { kind: 'leave', key: fraction.key })
  expect(state.draft.overrides[fraction.key]).toBe(0.2)
  expect(wrongKeys(state)).toEqual([fraction.key])
  expect(wrongKeys(formReducer(state, { kind: 'reset', key: fraction.key }))).toEqual([])
})

it('takes an emptied control for unset where it is not known what the profile says', () => {
  const state = formReducer(written('0.2'), { kind: 'write', field: fraction, text: '', standard: undefined })
  expect([fraction.key in state.draft.overrides, wrongKeys(state)]).toEqual([false, []])
})

it('forgets what is written in the parameters of the former choice', () => {
  const alpha = { ...fraction, key: 'partition.parameters.alpha' }
  const wrong = formReducer(start, { kind: 'write', field: alpha, text: 'x', standard: 0.5 })
  const state = formReducer(wrong, { kind: 'name', key: 'partition.name', name: 'iid', standard: 'dirichlet' })
  expect([wrongKeys(state), state.draft.overrides]).toEqual([[], { 'partition.name': 'iid' }])
})
