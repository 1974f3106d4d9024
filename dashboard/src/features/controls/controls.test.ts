import type { RunView } from '@/api/schema'
import { courseOf, whyNot } from './controls'

const run = { state: 'running', allowed: ['pause', 'stop'], refused: { resume: 'cannot resume: the run is going on.' } } as unknown as RunView
const calm = { blind: false, past: false, busy: false, mayNot: false }

test('what the monitor allows can be pressed, and of the rest it says why not', () => {
  expect(whyNot('pause', run, calm)).toBeNull()
  expect(whyNot('resume', run, calm)).toBe('cannot resume: the run is going on.')
})

test.each([
  [{ ...calm, blind: true }, /connection is lost/],
  [{ ...calm, past: true }, /past is shown/],
  [{ ...calm, busy: true }, /is being given/],
  [{ ...calm, mayNot: true }, /may only deliver/],
])('nothing can be pressed while it could be wrong: %j', (situation, why) => {
  expect(whyNot('pause', run, situation)).toMatch(why)
})

test('a command is followed from being asked for to its effect', () => {
  const asked = { command: 'pause', given_by: 'Ada', requested_at: '2026-11-30T12:00:00Z', acknowledged_at: null, outcome: null }
  const told = { ...asked, acknowledged_at: '2026-11-30T12:00:01Z' }
  const done = { ...told, outcome: 'effective', effective_round: 7, seconds_to_effect: 1.25 }
  const say = (command: object) => courseOf(command as Parameters<typeof courseOf>[0]).replace(/ at \d.*? →/, ' →')
  expect(say(asked)).toBe('pause asked for by Ada → not heard by the run yet')
  expect(say(told)).toBe('pause asked for by Ada → heard by the run')
  expect(say(done)).toBe('pause asked for by Ada → effective at round 7, after 1.3 s')
})
