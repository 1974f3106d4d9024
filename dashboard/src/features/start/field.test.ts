import { describe, expect, it } from 'vitest'
import { expectation, fieldOf, limits, parameterField, parse, written, type Field } from './field'

function field(schema: Record<string, unknown>): Field {
  const made = fieldOf('key', schema)
  if (!made) throw new Error('no field')
  return made
}

describe('a field of a JSON schema', () => {
  it('is a choice where the values are named', () => {
    expect(field({ enum: [28, 64], type: 'integer' })).toMatchObject({ kind: 'choice', choices: [28, 64] })
    expect(parse(field({ enum: [28, 64], type: 'integer' }), '64')).toEqual({ value: 64 })
  })

  it('may be nothing where the schema says null as well', () => {
    const optional = field({ anyOf: [{ minimum: 30, type: 'integer' }, { type: 'null' }] })
    expect(optional).toMatchObject({ kind: 'integer', minimum: 30, optional: true })
    expect(parse(optional, ' ')).toEqual({ value: null })
    expect(parse(optional, '29')).toEqual({ problem: 'Give a whole number of at least 30.' })
  })

  it('is none where only null fits', () => {
    expect(fieldOf('partition.preset', { type: 'null' })).toBeNull()
  })

  it('keeps excluded limits', () => {
    const fraction = field({ exclusiveMaximum: 1, exclusiveMinimum: 0, type: 'number' })
    expect(limits(fraction)).toBe('above 0, below 1')
    expect(['0', '1', '0.5', 'x', ''].map((text) => 'value' in parse(fraction, text))).toEqual([false, false, true, false, false])
  })

  it('takes lists of numbers, and of names beside numbers', () => {
    expect(parse(field({ anyOf: [{ items: { type: 'number' }, type: 'array' }, { type: 'null' }] }), '1, 2.5')).toEqual({ value: [1, 2.5] })
    const sites = field({ items: { anyOf: [{ type: 'integer' }, { type: 'string' }] }, type: 'array' })
    expect(parse(sites, '0, north')).toEqual({ value: [0, 'north'] })
  })

  it('says what it takes', () => {
    expect(expectation(field({ minimum: 0, exclusiveMaximum: 2147483648, type: 'integer' }))).toBe(
      'a whole number of at least 0, below 2,147,483,648',
    )
    expect(limits(field({ minimum: 1, type: 'integer' }))).toBe('1 or more')
    expect(limits(field({ minimum: 0, maximum: 1, type: 'number' }))).toBe('0 to 1')
    expect(limits(field({ type: 'number' }))).toBe('')
  })

  it('of a parameter has its limits', () => {
    const alpha = parameterField('partition.parameters.alpha', {
      name: 'alpha', type: 'number', description: '', default: 0.5, required: false, minimum: 0, minimum_excluded: true, maximum: 10,
    })
    expect(['0', '10', '11'].map((text) => 'value' in parse(alpha, text))).toEqual([false, true, false])
  })

  it('writes a value as it is read', () => {
    expect([null, undefined, [1, 2], 0.5, true].map(written)).toEqual(['', '', '1, 2', '0.5', 'true'])
  })
})
