/** The state of a run in the tab's icon: shape and colour. */
import type { State } from '@/api/schema'
import { SHAPES, toneOfState, type Tone } from '@/lib/tone'

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

export function showState(state: State, stalled: boolean): void {
  const tone = stalled ? 'lost' : toneOfState(state)
  const [colour, { outline, filled, width }] = [COLOURS[tone], SHAPES[tone]]
  const drawn = `fill="${filled ? colour : 'none'}" stroke="${colour}" stroke-width="${width}" stroke-linecap="round"`
  const picture = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 12 12"><path d="${outline}" ${drawn}/></svg>`
  show(`data:image/svg+xml,${encodeURIComponent(picture)}`)
}

export function showNothing(): void {
  show('/favicon.svg')
}

function show(address: string): void {
  const link = document.querySelector<HTMLLinkElement>('link[rel="icon"]')
  if (link !== null) link.href = address
}
