/** A result as one says it to somebody who does not train models, with what it does not say. */
import type { EventOf } from '@/api/client'
import { count, percent } from '@/lib/format'

/** Fewer rows than this tell no difference of ten points at 95 %. */
const LEAST_ROWS = 100

export function tells(rows: number): boolean {
  return rows >= LEAST_ROWS
}

export function plainResult(evaluated: EventOf<'run_evaluated'>, about: EventOf<'run_described'> | undefined): string[] {
  const { accuracy } = evaluated.metrics
  const around = evaluated.intervals.accuracy
  const from = about === undefined ? '' : about.data.phantom ? ' of generated images (PHANTOM DATA)' : ` of ${about.data.title}${about.data.official ? ', the official archive,' : ', not the official archive,'}`
  const right =
    accuracy === undefined
      ? `The final model was scored on ${count(evaluated.rows)} test rows${from}.`
      : `On ${count(evaluated.rows)} test rows${from} the final model is right on ${percent(accuracy)}` +
        (around === undefined ? '.' : ` (${percent(around.low)} to ${percent(around.high)}, at ${Math.round(100 * evaluated.level)} %).`)
  const known = evaluated.classes.filter((each) => each.sensitivity !== null)
  const weakest = known.toSorted((a, b) => a.sensitivity!.value - b.sensitivity!.value)[0]
  const weak =
    weakest === undefined
      ? null
      : `It is weakest with ${weakest.name}, of which it finds ${percent(weakest.sensitivity!.value)} of ${count(weakest.rows)} rows` +
        ` (${percent(weakest.sensitivity!.low)} to ${percent(weakest.sensitivity!.high)}).`
  return [
    right,
    ...(weak === null ? [] : [weak]),
    'This says how it does on images like these. It does not say how it does on those of another scanner, laboratory or time. It is not a medical device.',
  ]
}
