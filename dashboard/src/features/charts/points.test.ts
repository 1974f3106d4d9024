import type { Course, Values } from '@/stores/series'
import { domainOf, fewPoints, MOST_POINTS, pointsOf, worstFirst } from './points'

const course = (sites: Record<string, [number, Values][]>, rounds: [number, Values][]): Course => ({
  rounds: new Map(rounds),
  sites: new Map(Object.entries(sites).map(([name, values]) => [name, new Map(values)])),
})

test('the band goes from the lowest site to the highest, and a site is a line only where it is asked for', () => {
  const points = pointsOf(
    course({ 'client-0': [[1, { accuracy: 0.2 }]], 'client-1': [[1, { accuracy: 0.9 }]], 'client-2': [[1, {}]] }, [[1, { accuracy: 0.5 }]]),
    'accuracy',
    ['client-1'],
  )
  expect(points).toEqual([{ round: 1, value: 0.5, band: [0.2, 0.9], sites: { 'client-1': 0.9 } }])
})

test('a round that only sites have said something of has no value of the model', () => {
  const points = pointsOf(course({ 'client-0': [[2, { accuracy: 0.2 }]] }, [[1, { accuracy: 0.5 }]]), 'accuracy', [])
  expect(points.map(({ round, value }) => [round, value])).toEqual([[1, 0.5], [2, null]])
})

test('of thousands of rounds the extremes stay', () => {
  const rounds = [...Array(20_000).keys()].map((round): [number, Values] => [round + 1, { accuracy: Math.sin(round / 1000) / 10 + 0.5 }])
  rounds[7_777] = [7_778, { accuracy: 0.01 }]
  const few = fewPoints(pointsOf(course({}, rounds), 'accuracy', []))
  expect(few.length).toBeLessThanOrEqual(MOST_POINTS)
  expect(few.some(({ round }) => round === 7_778)).toBe(true)
  expect(few.map(({ round }) => round)).toEqual(few.map(({ round }) => round).toSorted((a, b) => a - b))
})

test('the worst site comes first: the lowest accuracy, the highest loss, and who has none last', () => {
  const sites = course({ a: [[1, { accuracy: 0.9, loss: 0.1 }]], b: [[1, { accuracy: 0.2, loss: 3 }]], c: [[1, {}]] }, [])
  expect(worstFirst(sites, 'accuracy')).toEqual(['b', 'a', 'c'])
  expect(worstFirst(sites, 'loss')).toEqual(['b', 'a', 'c'])
})

test('an axis of parts does not go beyond the whole', () => {
  expect(domainOf([0.4, 0.99], 0.02, 1)[1]).toBe(1)
  expect(domainOf([0.5, 0.5], 0.02, 1)).toEqual([0.49, 0.51])
  expect(domainOf([], 0)).toEqual([0, 1])
})
