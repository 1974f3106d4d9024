import { metricName } from '@/lib/format'
import { obstacles } from './comparability'
import type { RunSide } from './run-side'
import type { Compared } from './scores'

/** Whether a better score is a better model; where a run has not said what it is made of that is not known. */
export function areComparable(a: RunSide, b: RunSide): boolean {
  return a.described !== undefined && b.described !== undefined && obstacles(a.described, b.described).length === 0
}

/** What is to be known before the numbers are read; `null` where nothing stands against it. */
export function warning(a: RunSide, b: RunSide): string | null {
  if (!a.described || !b.described) {
    const silent = [a, b].filter((side) => !side.described).map((side) => side.run.run_id)
    return `${silent.join(' and ')} ${silent.length === 1 ? 'has' : 'have'} not said yet what it is made of: whether the scores may be held against each other is not known.`
  }
  const reasons = obstacles(a.described, b.described)
  return reasons.length === 0 ? null : `These two can’t be compared by score: ${reasons.join(', and ')}.`
}

/** What the intervals say of a difference, in a word. */
export function tellingWords(score: Compared): string {
  if (score.change === undefined) return ''
  if (score.change === 0) return 'no difference'
  if (score.telling === 'unknown') return 'no interval'
  return score.telling === 'unsure' ? 'no, intervals overlap' : 'yes'
}

/** One sentence of all scores, for whoever does not see the table. */
export function summary(scores: Compared[]): string {
  const known = scores.filter((score) => score.change !== undefined)
  if (known.length === 0) return 'No score is known of both runs.'
  if (known.every((score) => score.change === 0)) return 'No difference: every score is the same.'
  const telling = known.filter((score) => score.telling === 'yes').map((score) => metricName(score.name))
  return telling.length === 0
    ? 'All intervals overlap: no difference is telling.'
    : `Telling, since the intervals do not overlap: ${telling.join(', ')}.`
}
