/** Runs as they were recorded from real ones (`python -m tests.recording`), with what the monitor made of them. */
import { readdirSync, readFileSync } from 'node:fs'
import type { RecordedEvent, Words } from '@/api/schema'

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
