/** The state of a run in the tab's icon: shape and colour. */
import type { State } from '@/api/schema'
import { toneOfState, type Tone } from '@/lib/tone'

const COLOURS: Record<Tone, string> = {
  waiting: '#6b7280',
  running: '#2563eb',
  answering: '#7c3aed',
  completed: '#0f8a5f',
  failed: '#d0342c',
  lost: '#c2570c',
  paused: '#a16207',
  idle: '#6b7280',
}

const SHAPES: Record<Tone, string> = {
  waiting: '<circle cx="8" cy="8" r="5.5" fill="none"/>',
  running: '<circle cx="8" cy="8" r="6.5" fill="currentColor" stroke="none"/>',
  answering: '<path d="M8 13V3M4 7l4-4 4 4"/>',
  completed: '<path d="m3 8.5 3.5 3.5L13 4.5"/>',
  failed: '<path d="m3.5 3.5 9 9m0-9-9 9"/>',
  lost: '<path d="M5 5.5a3 3 0 1 1 4.5 2.6C8.5 8.7 8 9.2 8 10.3M8 13.4v.1" fill="none"/>',
  paused: '<path d="M5.5 3.5v9M10.5 3.5v9"/>',
  idle: '<path d="M3 8h10"/>',
}

export function showState(state: State, stalled: boolean): void {
  const tone = stalled ? 'lost' : toneOfState(state)
  const picture = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16" color="${COLOURS[tone]}" stroke="${COLOURS[tone]}" stroke-width="2.5" fill="none">${SHAPES[tone]}</svg>`
  show(`data:image/svg+xml,${encodeURIComponent(picture)}`)
}

export function showNothing(): void {
  show('/favicon.svg')
}

function show(address: string): void {
  const link = document.querySelector<HTMLLinkElement>('link[rel="icon"]')
  if (link !== null) link.href = address
}
