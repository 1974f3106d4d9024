import { api } from '@/api/client'
import { columnsOf, recordings } from '@/test/recordings'
import { createLive, taken } from './live'
import { fold, itemOf } from './reducer'
import { Travel } from './travel'

const [, { events }] = recordings[0]!
const items = events.map(itemOf)
const shownItems = items.filter(({ event }) => event.type !== 'node_heartbeat')

/** A run that is live, and a monitor that gives its past in parts. */
function setUp() {
  const asked: number[] = []
  vi.spyOn(api, 'GET').mockImplementation((async (_: string, { params }: { params: { query: { after: number } } }) => {
    const { after } = params.query
    asked.push(after)
    const rest = shownItems.filter(({ seq }) => seq > after)
    const part = rest.slice(0, 90)
    const data = { ...columnsOf(part), last_seq: items.at(-1)!.seq, next_after: part.length < rest.length ? part.at(-1)!.seq : null }
    return { data, response: new Response(null, { status: 200 }) }
  }) as unknown as typeof api.GET)
  const live = createLive('operated')
  live.setState(taken(live.getState(), [{ type: 'events', events }]))
  const travel = new Travel(live)
  travel.start()
  return { travel, live, asked }
}

afterEach(() => void vi.restoreAllMocks())

test('at any event it shows what the events up to there say', async () => {
  const { travel, asked } = setUp()
  for (const { seq } of shownItems.filter((_, place) => place % 11 === 0)) {
    await travel.to(seq)
    const { at, folded } = travel.shown.getState()
    expect(at).toBe(seq)
    expect(folded!.run.control).toEqual(fold(null, items.filter((item) => item.seq <= seq))!.run.control)
  }
  expect(asked.length).toBe(Math.ceil(shownItems.length / 90)) // the past is read once
  travel.end()
})

test('an event back and on is where it began; a round goes to where one begins or ends', async () => {
  const { travel } = setUp()
  await travel.to(shownItems[50]!.seq)
  await travel.step(1)
  expect(travel.shown.getState().at).toBe(shownItems[51]!.seq)
  await travel.step(-1)
  expect(travel.shown.getState().at).toBe(shownItems[50]!.seq)
  await travel.stepRound(-1)
  const { at } = travel.shown.getState()
  expect(shownItems.find(({ seq }) => seq === at)!.event.type).toMatch(/^round_(started|completed)$/)
  travel.end()
})

test('it does not leave the run at either end', async () => {
  const { travel } = setUp()
  await travel.toMoment(0)
  expect(travel.shown.getState().at).toBe(shownItems[0]!.seq)
  await travel.step(-1)
  expect(travel.shown.getState().at).toBe(shownItems[0]!.seq)
  await travel.toMoment(Number.MAX_SAFE_INTEGER)
  expect(travel.shown.getState().at).toBe(shownItems.at(-1)!.seq)
  await travel.step(1)
  expect(travel.shown.getState().at).toBe(shownItems.at(-1)!.seq)
  travel.end()
})

test('the past stays while the run goes on, and back to live shows the run as it is', async () => {
  const { travel, live } = setUp()
  await travel.to(shownItems[40]!.seq)
  const before = travel.shown.getState().folded
  const last = items.at(-1)!
  live.setState(taken(live.getState(), [{ type: 'events', events: [{ ...events.at(-1)!, seq: last.seq + 1 }] }]))
  expect(travel.shown.getState().folded).toBe(before)
  travel.backToLive()
  expect(travel.shown.getState()).toMatchObject({ at: null, moment: null })
  expect(travel.shown.getState().folded).toBe(live.getState().folded)
  travel.end()
})

test('rounds that were not done by then are not in the curves', async () => {
  const { travel } = setUp()
  const third = shownItems.find(({ event }) => event.type === 'round_completed' && event.round === 3)!
  await travel.to(third.seq - 1)
  expect(Math.max(...travel.shown.getState().course.rounds.keys())).toBe(2)
  await travel.to(third.seq)
  expect(Math.max(...travel.shown.getState().course.rounds.keys())).toBe(3)
  travel.end()
})
