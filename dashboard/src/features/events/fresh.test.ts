import { recordings } from '@/test/recordings'
import { createLive, taken } from '@/stores/live'
import { EMPTY } from './filter'
import { begun, grown, MOST_FRESH } from './fresh'

const [, recording] = recordings[0]!

test('of what comes everything that is looked for is there once, in its order', () => {
  const filter = { ...EMPTY, types: ['round_completed' as const] }
  let live = createLive('operated').getState()
  let fresh = begun(live, filter)
  for (let from = 0; from < recording.events.length; from += 7) {
    live = taken(live, [{ type: 'events', events: recording.events.slice(from, from + 7) }])
    fresh = grown(fresh, live, filter)
    expect(grown(fresh, live, filter)).toBe(fresh)
  }
  const wanted = recording.events.filter(({ event }) => event.type === 'round_completed').map(({ seq }) => seq)
  expect(fresh.items.map(({ seq }) => seq)).toEqual(wanted)
  expect(fresh.from).toBe(1) // nothing older is missing
})

test('it is bounded, and says from where on the rest must be read', () => {
  let live = createLive('long').getState()
  let fresh = begun(live, EMPTY)
  const pattern = recording.events.find(({ event }) => event.type === 'round_completed')!
  for (let batch = 0; batch < 60; batch++) {
    const events = [...Array(100).keys()].map((place) => ({ ...pattern, seq: batch * 100 + place + 1 }))
    live = taken(live, [{ type: 'events', events }])
    fresh = grown(fresh, live, EMPTY)
  }
  expect(fresh.items).toHaveLength(MOST_FRESH)
  expect(fresh.from).toBe(6_000 - MOST_FRESH + 1)
})

test('where more came at once than is kept, it begins anew instead of having a gap', () => {
  let live = createLive('gap').getState()
  let fresh = begun(live, EMPTY)
  const pattern = recording.events.find(({ event }) => event.type === 'round_completed')!
  const events = (from: number, many: number) => [...Array(many).keys()].map((place) => ({ ...pattern, seq: from + place }))
  live = taken(live, [{ type: 'events', events: events(1, 10) }])
  fresh = grown(fresh, live, EMPTY)
  live = taken(live, [{ type: 'events', events: events(11, 5_000) }])
  fresh = grown(fresh, live, EMPTY)
  expect(fresh.from).toBe(live.recentFrom)
  expect(fresh.items[0]!.seq).toBe(live.recentFrom)
})
