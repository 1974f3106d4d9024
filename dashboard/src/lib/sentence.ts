/** The sentence of an event: the monitor's own templates (`GET /api/words`), filled in as it fills them in. */
import type { Event } from '@/api/client'
import type { Words } from '@/api/schema'
import { bytes } from './format'

/** What an event says; of a type that is not known, its name. */
export function sentence(words: Words, event: Event): string {
  const known = words.sentences[event.type]
  if (known === undefined) return `${event.type}.`
  const fields = fieldsOf(words, event)
  const given = event as unknown as Record<string, unknown>
  const text = known.by ? (known.texts[String(given[known.by])] ?? known.text) : known.text
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => fields[name] ?? whole)
}

function fieldsOf(words: Words, event: Event): Record<string, string> {
  const given = event as unknown as Record<string, unknown>
  const plain = Object.fromEntries(Object.entries(given).map(([name, value]) => [name, String(value)]))
  return {
    ...plain,
    node: nodeOf(event.node_id),
    task: 'task' in event && event.task ? (words.tasks[event.task] ?? 'work') : 'work',
    seconds: event.latency_ms == null ? 'some time' : seconds(event.latency_ms / 1000),
    bytes: event.payload_bytes == null ? 'size unknown' : bytes(event.payload_bytes),
    sites: String('participants' in event ? event.participants.length : 0),
    silent_seconds: 'silent_seconds' in event ? event.silent_seconds.toFixed(0) : '0',
    requested_by: event.type === 'run_requested' ? (event.request.requested_by ?? 'somebody') : 'somebody',
    phase: event.type === 'run_requested' ? event.request.phase : 'phase' in event ? String(event.phase) : 'a phase',
    ...(event.type === 'stage_progress'
      ? { stage_words: words.stages[event.stage] ?? event.stage, progress: progress(event) }
      : {}),
    ...(event.type === 'run_described' ? { images: images(event.data), backbone_name: backbone(event.backbone) } : {}),
    accuracy: part(accuracyOf(event.metrics)),
    centralized_accuracy: part('centralized' in event ? event.centralized.accuracy : undefined),
  }
}

type Stage = Extract<Event, { type: 'stage_progress' }>
type Described = Extract<Event, { type: 'run_described' }>

function accuracyOf(metrics: unknown): number | undefined {
  const value = (metrics as Record<string, unknown> | undefined)?.accuracy
  return typeof value === 'number' ? value : undefined
}

function progress(event: Stage): string {
  const whole = (value: number) => value.toLocaleString('en')
  const done = event.total ? `${whole(event.done ?? 0)} of ${whole(event.total)} ${event.unit ?? 'parts'}` : 'it has begun'
  return event.seconds_left == null ? done : `${done}, about ${seconds(event.seconds_left)} left`
}

function images(data: Described['data']): string {
  if (data.phantom) return 'PHANTOM images, which are generated'
  const own = data.site_data === 'own' ? "each site's own images, scored on " : ''
  return `${own}${data.title}${data.official ? '' : ', not the official archive'}`
}

function backbone(given: Described['backbone']): string {
  return `${given.trained ? '' : 'the UNTRAINED backbone '}${given.name}`
}

function part(value: number | undefined): string {
  return value === undefined ? 'an unknown part' : `${(100 * value).toFixed(1)} %`
}

function nodeOf(nodeId: string): string {
  if (nodeId === 'server') return 'The server'
  return nodeId.startsWith('client-') ? `Site ${nodeId.slice('client-'.length)}` : nodeId
}

function seconds(value: number): string {
  if (value < 1) return `${(value * 1000).toFixed(0)} ms`
  return value < 120 ? `${value.toFixed(1)} s` : `${(value / 60).toFixed(0)} min`
}
