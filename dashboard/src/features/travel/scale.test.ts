import { momentAt, positionOf, scaleOf } from './scale'

const rounds = [
  { round: 1, startedAt: 100 },
  { round: 2, startedAt: 200 },
  { round: 3, startedAt: 90_000 },
]

test('each round is as wide as the others, however long a pause was', () => {
  const scale = scaleOf(0, 90_100, rounds, null)
  expect(positionOf(scale, 100)).toBeCloseTo(1 / 4)
  expect(positionOf(scale, 90_000)).toBeCloseTo(3 / 4)
})

test('a place on it is a moment, and the moment is at that place', () => {
  const scale = scaleOf(0, 90_100, rounds, 90_050)
  for (let place = 0; place <= 1; place += 0.013) expect(positionOf(scale, momentAt(scale, place))).toBeCloseTo(place, 6)
})

test('a run before its first round has one stretch', () => {
  const scale = scaleOf(5, 10, [], null)
  expect(momentAt(scale, 0)).toBe(5)
  expect(momentAt(scale, 1)).toBe(10)
})

test('a round that was done again does not bring the axis out of its order', () => {
  const scale = scaleOf(0, 500, [...rounds.slice(0, 2), { round: 1, startedAt: 300 }], null)
  expect(scale.edges).toEqual(scale.edges.toSorted((a, b) => a - b))
})
