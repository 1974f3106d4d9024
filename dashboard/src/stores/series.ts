/** What changes from round to round, of the run and of each site: the monitor's columns, continued by events. */
import type { Event } from '@/api/client'
import type { Series } from '@/api/schema'
import type { Item } from './reducer'

export type Values = Readonly<Record<string, number | null>>

export interface Course {
  readonly rounds: ReadonlyMap<number, Values>
  readonly sites: ReadonlyMap<string, ReadonlyMap<number, Values>>
}

export const NO_COURSE: Course = { rounds: new Map(), sites: new Map() }

export function courseOf(series: Series): Course {
  return {
    rounds: rowsOf(series.round, series.columns),
    sites: new Map(series.sites.map((site) => [site.node_id, rowsOf(site.round, site.columns)])),
  }
}

function rowsOf(rounds: readonly number[], columns: Record<string, (number | null)[]>): Map<number, Values> {
  const names = Object.entries(columns)
  return new Map(rounds.map((round, place) => [round, rowOf(names, place)]))
}

function rowOf(columns: [string, (number | null)[]][], place: number): Values {
  const row: Record<string, number | null> = {}
  for (const [name, values] of columns) {
    const value = values[place]
    if (value != null) row[name] = value
  }
  return row
}

/**
 * With the next events; the same object where none of them says anything of it. The rounds are another map only where a
 * round begins or ends. What is kept of a site is added to in place: a copy for each message would cost more than all else.
 */
export function continued(before: Course, items: Iterable<Item>): Course {
  let rounds: Map<number, Values> | undefined
  let sites: Map<string, Map<number, Values>> | undefined
  const site = (name: string) => {
    sites ??= before.sites as Map<string, Map<number, Values>>
    let values = sites.get(name)
    if (values === undefined) {
      if (sites === before.sites) sites = new Map(sites)
      sites.set(name, (values = new Map()))
    }
    return values
  }
  for (const { event } of items) {
    if (event.round === 0) continue
    if (event.type === 'round_started') {
      rounds ??= new Map(before.rounds)
      if (rounds.has(event.round)) for (const name of (sites ?? before.sites).keys()) site(name).delete(event.round)
      rounds.set(event.round, { started_ms: Date.parse(event.ts), attempt: event.attempt })
    } else if (event.type === 'round_completed') {
      rounds ??= new Map(before.rounds)
      const known = rounds.get(event.round) ?? { attempt: event.attempt }
      rounds.set(event.round, {
        ...known,
        ...present({ seconds: secondsOf(event), payload_bytes: event.payload_bytes ?? null }),
        ...event.metrics,
      })
    } else {
      const values = valuesOfSite(event)
      if (values === null) continue
      const known = site(event.node_id)
      known.set(event.round, { ...known.get(event.round), ...present(values) })
    }
  }
  if (rounds === undefined && sites === undefined) return before
  return { rounds: rounds ?? before.rounds, sites: sites ?? before.sites }
}

function valuesOfSite(event: Event): Record<string, number | null> | null {
  switch (event.type) {
    case 'client_train_completed': {
      const local = Object.entries(event.metrics).map(([name, value]): [string, number] => [
        name === 'training_loss' ? name : `local_${name}`,
        value,
      ])
      return { train_seconds: secondsOf(event), ...Object.fromEntries(local) }
    }
    case 'client_evaluated':
      return { evaluate_seconds: secondsOf(event), ...event.metrics }
    case 'client_update_uploaded':
      return {
        [`${event.task}_round_trip_seconds`]: secondsOf(event),
        [`${event.task}_payload_bytes`]: event.payload_bytes ?? null,
      }
    case 'node_error':
      return { failed: 1 }
    default:
      return null
  }
}

function secondsOf(event: Event): number | null {
  return event.latency_ms == null ? null : event.latency_ms / 1000
}

function present(values: Record<string, number | null>): Record<string, number> {
  return Object.fromEntries(Object.entries(values).filter((entry): entry is [string, number] => entry[1] !== null))
}

/** The latest value that is known: what a round that goes on has not said yet is that of the round before. */
export function latestValue(values: ReadonlyMap<number, Values> | undefined, name: string): number | null {
  if (values === undefined) return null
  const last = lastRound(values)
  for (let round = last; round > Math.max(0, last - LOOKED_BACK); round--) {
    const value = values.get(round)?.[name]
    if (value != null) return value
  }
  return null
}

const LOOKED_BACK = 200
const lasts = new WeakMap<ReadonlyMap<number, Values>, { size: number; round: number }>()

function lastRound(values: ReadonlyMap<number, Values>): number {
  const known = lasts.get(values)
  if (known?.size === values.size) return known.round
  let round = 0
  for (const each of values.keys()) if (each > round) round = each
  lasts.set(values, { size: values.size, round })
  return round
}

/** At most `most` points of a line, of which none that is the highest or lowest of its neighbours is left out. */
export function downsampled<P>(points: readonly P[], most: number, value: (point: P) => number | null): readonly P[] {
  if (points.length <= most) return points
  const kept: P[] = []
  const buckets = Math.floor(most / 2)
  for (let bucket = 0; bucket < buckets; bucket++) {
    const from = Math.floor((bucket * points.length) / buckets)
    const until = Math.floor(((bucket + 1) * points.length) / buckets)
    let low = from
    let high = from
    for (let place = from + 1; place < until; place++) {
      const now = value(points[place]!)
      if (now === null) continue
      if (now < (value(points[low]!) ?? Infinity)) low = place
      if (now > (value(points[high]!) ?? -Infinity)) high = place
    }
    const [first, second] = low < high ? [low, high] : [high, low]
    kept.push(points[first]!)
    if (second !== first) kept.push(points[second]!)
  }
  return kept
}
