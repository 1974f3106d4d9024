import type { JsonValue } from '@/api/schema'
import type { EventOf } from '@/api/client'

export type Described = EventOf<'run_described'>

/** A key whose value is another in the two runs; `undefined` where a run has no such key. */
export interface Difference {
  key: string
  a: string | undefined
  b: string | undefined
}

export interface Section {
  name: string
  /** How many keys were compared. */
  compared: number
  differences: Difference[]
}

/** What two runs are made of, held against each other. Keys of where a run goes are among the configuration. */
export function differences(a: Described, b: Described): Section[] {
  return [
    section('Configuration', a.configuration, b.configuration),
    section('Data', a.data, b.data),
    section('Backbone', a.backbone, b.backbone),
    section('Code', codeOf(a), codeOf(b)),
    section('Packages', a.code.packages, b.code.packages),
  ]
}

/** Nested values by dotted key, each as it is shown. */
export function flat(value: unknown, above = ''): Map<string, string> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return new Map([[above, shown(value)]])
  return new Map(Object.entries(value).flatMap(([key, each]) => [...flat(each, above ? `${above}.${key}` : key)]))
}

function section(name: string, a: object, b: object): Section {
  const [inA, inB] = [flat(a), flat(b)]
  const keys = [...new Set([...inA.keys(), ...inB.keys()])].sort()
  return {
    name,
    compared: keys.length,
    differences: keys
      .map((key) => ({ key, a: inA.get(key), b: inB.get(key) }))
      .filter((each) => each.a !== each.b),
  }
}

function codeOf(run: Described): Record<string, JsonValue> {
  return { version: run.code.version, commit: run.code.commit }
}

function shown(value: unknown): string {
  if (value === null || value === undefined) return 'none'
  if (Array.isArray(value)) return value.map(shown).join(', ')
  return typeof value === 'string' ? value : JSON.stringify(value)
}
