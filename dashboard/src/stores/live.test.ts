import type { Frame } from '@/api/client'
import { recordings } from '@/test/recordings'
import { createLive, taken } from './live'
import { fold, itemOf } from './reducer'
import { continued, NO_COURSE } from './series'

const [, recording] = recordings[0]!
const frame = (from: number, until: number): Frame => ({ type: 'events', events: recording.events.slice(from, until) })

test('an event that comes twice is taken once, in whatever pieces it comes', () => {
  const live = createLive('operated').getState()
  const once = taken(live, [frame(0, 100)])
  const again = taken(taken(live, [frame(0, 60)]), [frame(40, 100), frame(0, 100)])
  expect(again.folded).toEqual(once.folded)
  expect(again.recent.map(({ seq }) => seq)).toEqual(once.recent.map(({ seq }) => seq))
  expect(taken(again, [frame(0, 100)])).toBe(again)
})

test('what is kept of events is bounded, and what is older is known to be elsewhere', () => {
  let live = createLive('long').getState()
  const [pattern] = recording.events
  for (let batch = 0; batch < 100; batch++) {
    const events = [...Array(100).keys()].map((place) => ({ ...pattern!, seq: batch * 100 + place + 1 }))
    live = taken(live, [{ type: 'events', events }])
  }
  expect(live.recent.length).toBeLessThanOrEqual(3_000)
  expect(live.recent.at(-1)!.seq).toBe(10_000)
  expect(live.recentFrom).toBe(live.recent[0]!.seq)
  expect(live.folded!.run.lastSeq).toBe(10_000)
})

test('the course of a run is that of its rounds, however its events come', () => {
  const items = recording.events.map(itemOf)
  const atOnce = continued(NO_COURSE, items)
  const oneByOne = items.reduce((course, item) => continued(course, [item]), NO_COURSE)
  expect(oneByOne).toEqual(atOnce)
  const rounds = fold(null, items)!.rounds
  expect([...atOnce.rounds.keys()]).toEqual([...rounds.keys()])
  for (const [round, values] of atOnce.rounds) expect(values.accuracy).toBe(rounds.get(round)!.metrics.accuracy)
})
