import type { Event, EventType } from '@/api/client'
import { Flows, LEAST_MS } from './flows'
import type { Item } from './reducer'

const item = (type: EventType, node = 'client-0'): Item => ({
  seq: 1,
  at: 0,
  deed: false,
  event: { type, node_id: node } as Event,
})
const ROUND: EventType[] = ['model_dispatched', 'client_train_started', 'client_train_completed']

test('steps that came at once are shown one after the other, each for its least time', () => {
  const flows = new Flows()
  flows.take(ROUND.map((type) => item(type)), 0)
  expect(flows.phase('client-0')).toBe('dispatch')
  flows.advance(LEAST_MS - 1)
  expect(flows.phase('client-0')).toBe('dispatch')
  flows.advance(LEAST_MS)
  expect(flows.phase('client-0')).toBe('work')
  flows.advance(2 * LEAST_MS)
  expect(flows.phase('client-0')).toBe('upload')
})

test('aggregation is shown, also when it takes no time', () => {
  const flows = new Flows()
  flows.take([item('aggregation_started', 'server'), item('aggregation_completed', 'server'), item('round_completed', 'server')], 0)
  expect(flows.phase('server')).toBe('aggregate')
  flows.advance(LEAST_MS)
  expect(flows.phase('server')).toBe('idle')
})

test('rounds that are faster than the eye do not queue up without end', () => {
  const flows = new Flows()
  for (let round = 0; round < 1_000; round++) flows.take(ROUND.map((type) => item(type)), 0)
  let now = 0
  let steps = 0
  let version = -1
  while (flows.version !== version) {
    version = flows.version
    flows.advance((now += LEAST_MS))
    steps += 1
  }
  expect(steps).toBeLessThan(10)
})

test('a run that ends leaves nothing moving', () => {
  const flows = new Flows()
  flows.take([item('model_dispatched'), item('run_stopped', 'server')], 0)
  flows.advance(LEAST_MS)
  flows.advance(2 * LEAST_MS)
  expect(flows.phase('client-0')).toBe('idle')
})
