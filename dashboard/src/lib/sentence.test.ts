import { recordings } from '@/test/recordings'
import { sentence } from './sentence'

test.each(recordings)('%s: every event is said in the words of the monitor', (_, { events, sentences, words }) => {
  expect(events.map(({ event }) => sentence(words, event))).toEqual(sentences)
})
