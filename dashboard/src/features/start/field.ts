import type { OfferOutput, ParameterOfferOutput } from '@/api/schema'
import { count } from '@/lib/format'
import type { Value } from './draft'

type Schema = OfferOutput['overrides'][string]

/** A control of the form: what it takes, from the JSON schema of its key or from the offer of a parameter. */
export interface Field {
  key: string
  kind: 'boolean' | 'choice' | 'integer' | 'number' | 'integers' | 'numbers' | 'list' | 'text'
  choices: (string | number)[]
  minimum: number | null
  minimumExcluded: boolean
  maximum: number | null
  maximumExcluded: boolean
  /** It may be nothing (`null`). */
  optional: boolean
  description: string
}

export type Parsed = { value: Value } | { problem: string }

const PLAIN = {
  choices: [], minimum: null, minimumExcluded: false, maximum: null, maximumExcluded: false, optional: false, description: '',
}

/** `null` where nothing but `null` fits, so that there is nothing to choose. */
export function fieldOf(key: string, schema: Schema): Field | null {
  const branches = list(schema.anyOf ?? schema.oneOf).map(object)
  const optional = branches.some((branch) => branch.type === 'null')
  const branch = branches.length > 0 ? branches.find((each) => each.type !== 'null') : schema
  if (!branch || branch.type === 'null') return null
  const described = { ...PLAIN, key, optional, description: text(schema.description ?? branch.description) }
  const named = list(branch.enum ?? (branch.const === undefined ? [] : [branch.const]))
  if (named.length > 0) return { ...described, kind: 'choice', choices: named.filter(isScalar) }
  const limits = {
    minimum: number(branch.minimum) ?? number(branch.exclusiveMinimum),
    minimumExcluded: number(branch.minimum) === null && number(branch.exclusiveMinimum) !== null,
    maximum: number(branch.maximum) ?? number(branch.exclusiveMaximum),
    maximumExcluded: number(branch.maximum) === null && number(branch.exclusiveMaximum) !== null,
  }
  switch (branch.type) {
    case 'boolean': return { ...described, kind: 'boolean' }
    case 'integer': return { ...described, ...limits, kind: 'integer' }
    case 'number': return { ...described, ...limits, kind: 'number' }
    case 'array': return { ...described, kind: listKind(object(branch.items)) }
    default: return { ...described, kind: 'text' }
  }
}

export function parameterField(key: string, parameter: ParameterOfferOutput): Field {
  return {
    ...PLAIN,
    key,
    kind: parameter.type,
    minimum: parameter.minimum,
    minimumExcluded: parameter.minimum_excluded,
    maximum: parameter.maximum,
    optional: false,
    description: parameter.description,
  }
}

/** What a person has written, as the value that is sent; or what is wrong with it. */
export function parse(field: Field, written: string): Parsed {
  const trimmed = written.trim()
  if (trimmed === '') return field.optional ? { value: null } : { problem: `Give ${expectation(field)}.` }
  switch (field.kind) {
    case 'boolean': return { value: trimmed === 'true' }
    case 'choice': return parseChoice(field, trimmed)
    case 'text': return { value: trimmed }
    case 'list': return { value: parts(trimmed).map((part) => (/^\d+$/.test(part) ? Number(part) : part)) }
    case 'integer':
    case 'number': return parseNumber(field, trimmed)
    case 'integers':
    case 'numbers': return parseNumbers(field, trimmed)
  }
}

/** A value as a person would write it. */
export function written(value: Value | undefined): string {
  if (value === undefined || value === null) return ''
  return Array.isArray(value) ? value.join(', ') : String(value)
}

/** What a field takes, in words: "a whole number of at least 1". */
export function expectation(field: Field): string {
  switch (field.kind) {
    case 'boolean': return 'yes or no'
    case 'choice': return `one of ${field.choices.join(', ')}`
    case 'text': return 'a text'
    case 'list': return 'a list, with commas between'
    case 'integer': return `a whole number${bounds(field)}`
    case 'number': return `a number${bounds(field)}`
    case 'integers': return `whole numbers${bounds(field)}, with commas between`
    case 'numbers': return `numbers${bounds(field)}, with commas between`
  }
}

/** The limits in short: "1 or more", "above 0, below 1"; empty where there are none. */
export function limits(field: Field): string {
  const { minimumExcluded, maximumExcluded } = field
  const [least, most] = [field.minimum, field.maximum].map((limit) => (limit === null ? null : count(limit)))
  const high = maximumExcluded ? `below ${most}` : `${most} at most`
  if (least == null) return most == null ? '' : high
  if (most == null) return minimumExcluded ? `above ${least}` : `${least} or more`
  if (!minimumExcluded && !maximumExcluded) return `${least} to ${most}`
  return `${minimumExcluded ? 'above' : 'from'} ${least}, ${high}`
}

function bounds({ minimum, minimumExcluded, maximum, maximumExcluded }: Field): string {
  const low = minimum === null ? '' : ` ${minimumExcluded ? 'above' : 'of at least'} ${count(minimum)}`
  return `${low}${maximum === null ? '' : `${low ? ',' : ''} ${maximumExcluded ? 'below' : 'at most'} ${count(maximum)}`}`
}

function parseChoice(field: Field, trimmed: string): Parsed {
  const chosen = field.choices.find((each) => String(each) === trimmed)
  return chosen === undefined ? { problem: `Choose ${expectation(field)}.` } : { value: chosen }
}

function parseNumber(field: Field, trimmed: string): Parsed {
  const value = toNumber(trimmed)
  return value !== null && fits(field, value) ? { value } : { problem: `Give ${expectation(field)}.` }
}

function parseNumbers(field: Field, trimmed: string): Parsed {
  const values = parts(trimmed).map(toNumber)
  return values.every((value) => value !== null && fits(field, value))
    ? { value: values }
    : { problem: `Give ${expectation(field)}.` }
}

function toNumber(trimmed: string): number | null {
  const value = Number(trimmed)
  return /\d/.test(trimmed) && Number.isFinite(value) ? value : null
}

function fits(field: Field, value: number): boolean {
  const { minimum, maximum } = field
  if ((field.kind === 'integer' || field.kind === 'integers') && !Number.isSafeInteger(value)) return false
  if (minimum !== null && (value < minimum || (field.minimumExcluded && value === minimum))) return false
  return maximum === null || value < maximum || (!field.maximumExcluded && value === maximum)
}

function listKind(items: Schema): Field['kind'] {
  if (items.type === 'integer') return 'integers'
  return items.type === 'number' ? 'numbers' : 'list'
}

function parts(trimmed: string): string[] {
  return trimmed.split(',').map((part) => part.trim()).filter((part) => part !== '')
}

function object(value: unknown): Schema {
  return typeof value === 'object' && value !== null ? (value as Schema) : {}
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}

function number(value: unknown): number | null {
  return typeof value === 'number' ? value : null
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function isScalar(value: unknown): value is string | number {
  return typeof value === 'string' || typeof value === 'number'
}
