import { recordings } from '@/test/recordings'
import { itemOf } from '@/stores/reducer'
import { waterfallOf } from './waterfall'

describe.each(recordings)('%s', (_, { events }) => {
  const items = events.map(itemOf)
  const rounds = [...new Set(items.map(({ event }) => event.round))].filter((round) => round > 0)
  const completed = rounds.filter((round) => items.some(({ event }) => event.type === 'round_completed' && event.round === round))

  test.each(completed)('round %i: every site that took part has its time in it, and nothing lies outside', (round) => {
    const ofRound = items.filter(({ event }) => event.round === round)
    const waterfall = waterfallOf(ofRound)!
    const started = ofRound.findLast(({ event }) => event.type === 'round_started')!.event
    const participants = started.type === 'round_started' ? started.participants : []
    const nodes = waterfall.lanes.map(({ node }) => node)
    for (const site of participants) expect(nodes).toContain(`client-${site}`)
    for (const { spans } of waterfall.lanes)
      for (const { from, until } of spans) {
        expect(from).toBeGreaterThanOrEqual(0)
        expect(until).toBeGreaterThanOrEqual(from)
        expect(until).toBeLessThanOrEqual(waterfall.milliseconds)
      }
    const server = waterfall.lanes.find(({ node }) => node === 'server')!
    expect(server.spans.map(({ work }) => work)).toContain('aggregate')
  })

  test('of a round that has just begun nothing is there yet', () => {
    expect(waterfallOf([])).toBeNull()
  })
})
