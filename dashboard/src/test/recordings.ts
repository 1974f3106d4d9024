/** Runs as they were recorded from real ones (`python -m tests.recording`), with what the monitor made of them. */
import { readdirSync, readFileSync } from 'node:fs'
import type { RecordedEvent, Timeline, Words } from '@/api/schema'
import type { Item } from '@/stores/reducer'

export interface Recording {
  events: RecordedEvent[]
  sentences: string[]
  words: Words
  /** After each event what is another than before it. */
  changes: Record<string, unknown>[]
}

const FOLDER = `${import.meta.dirname}/recorded`

export const recordings = readdirSync(FOLDER).map((name): [string, Recording] => [
  name,
  JSON.parse(readFileSync(`${FOLDER}/${name}`, 'utf8')) as Recording,
])

/** As the monitor writes a timeline. */
export function columnsOf(items: readonly Item[]): Timeline {
  const names = { types: [], nodes: [], roles: [], statuses: [], tasks: [], metric_names: [] } as Record<string, string[]>
  const number = (kind: string, name: string) => {
    const known = names[kind]!
    if (!known.includes(name)) known.push(name)
    return known.indexOf(name)
  }
  const part: Record<string, unknown[]> = {}
  const columns = ['seq', 'received_ms', 'ts_ms', 'type', 'node', 'role', 'status', 'task', 'round', 'attempt',
    'latency_ms', 'payload_bytes', 'deeds', 'metric_place', 'metric_name', 'metric_value']
  for (const column of columns) part[column] = []
  const rest: Record<number, unknown> = {}
  items.forEach(({ seq, at, deed, event }, place) => {
    const { type, ts, node_id, role, status, round, attempt, latency_ms, payload_bytes, metrics, ...others } = event
    const { task, ...few } = others as Record<string, unknown>
    const row: Record<string, unknown> = {
      seq,
      received_ms: at,
      ts_ms: Date.parse(ts),
      type: number('types', type),
      node: number('nodes', node_id),
      role: number('roles', role),
      status: number('statuses', status),
      task: task == null ? null : number('tasks', String(task)),
      round,
      attempt,
      latency_ms,
      payload_bytes,
    }
    for (const [column, value] of Object.entries(row)) part[column]!.push(value)
    if (deed) part.deeds!.push(place)
    for (const [name, value] of Object.entries(metrics)) {
      part.metric_place!.push(place)
      part.metric_name!.push(number('metric_names', name))
      part.metric_value!.push(value)
    }
    rest[place] = few
  })
  return {
    run_id: items[0]!.event.run_id,
    last_seq: items.at(-1)!.seq,
    next_after: items.at(-1)!.seq,
    ...names,
    ...part,
    rest,
  } as unknown as Timeline
}

