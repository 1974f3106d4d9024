/** The way through time: a run's events as columns, and what they say together at any place of them. */
import type { Event } from '@/api/client'
import type { Timeline } from '@/api/schema'
import { fold, type Folded, type Item } from './reducer'

const STRIDE = 2_000

/** What divides a run's course. */
export interface Mark {
  readonly kind: 'pause' | 'resume' | 'attempt' | 'drop' | 'end'
  readonly label: string
}

export const MARKING: Event['type'][] = [
  'run_paused',
  'run_resumed',
  'run_started',
  'node_error',
  'run_stopped',
  'run_failed',
  'run_completed',
  'run_lost',
]

/** A part of a timeline, event by event, without what only its emitter needs. */
export function* itemsOf(part: Timeline, from = 0, until = part.seq.length): Generator<Item> {
  const deeds = new Set(part.deeds)
  let metric = lowerBound(part.metric_place, from)
  for (let place = from; place < until; place++) {
    const metrics: Record<string, number> = {}
    for (; metric < part.metric_place.length && part.metric_place[metric] === place; metric++)
      metrics[part.metric_names[part.metric_name[metric]!]!] = part.metric_value[metric]!
    const task = part.task[place]
    const event = {
      ...part.rest[place],
      type: part.types[part.type[place]!],
      run_id: part.run_id,
      ts: new Date(part.ts_ms[place]!).toISOString(),
      node_id: part.nodes[part.node[place]!],
      role: part.roles[part.role[place]!],
      status: part.statuses[part.status[place]!],
      ...(task == null ? {} : { task: part.tasks[task] }),
      round: part.round[place],
      attempt: part.attempt[place],
      latency_ms: part.latency_ms[place],
      payload_bytes: part.payload_bytes[place],
      metrics,
    } as unknown as Event
    yield { seq: part.seq[place]!, at: part.received_ms[place]!, deed: deeds.has(place), event }
  }
}

/** All parts of a timeline one after the other, with what they say every so often, so that any place is near. */
export class Replay {
  private readonly parts: Timeline[] = []
  private readonly firsts: number[] = []
  private readonly kept: (Folded | null)[] = [null]
  length = 0

  /** Take in the next part. */
  append(part: Timeline): void {
    this.readUntil = part.next_after ?? Math.max(part.last_seq, this.readUntil)
    if (part.seq.length === 0) return
    this.firsts.push(this.length)
    this.parts.push(part)
    this.length += part.seq.length
    while (this.kept.length * STRIDE <= this.length) {
      const from = (this.kept.length - 1) * STRIDE
      this.kept.push(fold(this.kept.at(-1)!, this.items(from, from + STRIDE)))
    }
  }

  /** The `seq` up to which events were read, heartbeats among them. */
  readUntil = 0

  /** What the first `count` events say. */
  state(count: number): Folded | null {
    const near = Math.min(Math.floor(count / STRIDE), this.kept.length - 1)
    return fold(this.kept[near] ?? null, this.items(near * STRIDE, count))
  }

  /** The number of events up to `seq`. */
  countUpTo(seq: number): number {
    let index = this.parts.length - 1
    while (index > 0 && this.parts[index]!.seq[0]! > seq) index--
    const part = this.parts[index]
    return part === undefined ? 0 : this.firsts[index]! + lowerBound(part.seq, seq + 1)
  }

  /** The number of events up to a moment. */
  countUntil(moment: number): number {
    let index = this.parts.length - 1
    while (index > 0 && this.parts[index]!.received_ms[0]! > moment) index--
    const part = this.parts[index]
    return part === undefined ? 0 : this.firsts[index]! + lowerBound(part.received_ms, moment + 1)
  }

  /** `seq`, moment of receipt and round of the event at a place. */
  place(place: number): { seq: number; at: number; round: number; type: string } | undefined {
    const index = this.partOf(place)
    const part = this.parts[index]
    if (part === undefined || place < 0 || place >= this.length) return undefined
    const inside = place - this.firsts[index]!
    return {
      seq: part.seq[inside]!,
      at: part.received_ms[inside]!,
      round: part.round[inside]!,
      type: part.types[part.type[inside]!]!,
    }
  }

  /** The number of events up to the first that begins or ends a round after, or before, a place. */
  roundBoundary(count: number, step: 1 | -1): number {
    for (let place = step === 1 ? count : count - 2; place >= 0 && place < this.length; place += step) {
      const type = this.place(place)!.type
      if (type === 'round_started' || type === 'round_completed') return place + 1
    }
    return step === 1 ? this.length : 0
  }

  *items(from: number, until: number): Generator<Item> {
    for (let index = this.partOf(from); index < this.parts.length; index++) {
      const first = this.firsts[index]!
      if (first >= until) return
      const part = this.parts[index]!
      yield* itemsOf(part, Math.max(0, from - first), Math.min(part.seq.length, until - first))
    }
  }

  private partOf(place: number): number {
    let index = this.parts.length - 1
    while (index > 0 && this.firsts[index]! > place) index--
    return Math.max(0, index)
  }
}

/** What an event marks in the course of its run, if it marks anything. */
export function markOf(event: Event): Mark | null {
  switch (event.type) {
    case 'run_paused':
      return { kind: 'pause', label: 'paused' }
    case 'run_resumed':
      return { kind: 'resume', label: event.attempt > 1 ? `goes on, attempt ${event.attempt}` : 'goes on' }
    case 'run_started':
      return event.attempt > 1 ? { kind: 'attempt', label: `attempt ${event.attempt}` } : null
    case 'node_error':
      return { kind: 'drop', label: `${event.node_id} failed` }
    case 'run_stopped':
      return { kind: 'end', label: 'stopped' }
    case 'run_failed':
      return { kind: 'end', label: 'failed' }
    case 'run_completed':
      return { kind: 'end', label: 'completed' }
    case 'run_lost':
      return { kind: 'drop', label: 'lost' }
    default:
      return null
  }
}

/** The first place of an ascending array whose value is not below `value`. */
export function lowerBound(values: readonly number[], value: number): number {
  let low = 0
  let high = values.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (values[middle]! < value) low = middle + 1
    else high = middle
  }
  return low
}
