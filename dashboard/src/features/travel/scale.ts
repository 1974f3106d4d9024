/**
 * The axis of the way through time: each round is as wide as the others, so that a night's pause does not leave a run of
 * minutes a single line. Inside of a stretch time is even.
 */

export interface Scale {
  /** Where stretches begin, and where the last ends; ascending moments. */
  readonly edges: readonly number[]
  readonly stretches: readonly { readonly round: number | null; readonly from: number; readonly until: number }[]
}

interface Begun {
  readonly round: number
  readonly startedAt: number | null
}

export function scaleOf(createdAt: number, until: number, rounds: Iterable<Begun>, endedAt: number | null): Scale {
  const starts = [...rounds]
    .flatMap(({ round, startedAt }) => (startedAt === null ? [] : [{ round, startedAt }]))
    .sort((a, b) => a.startedAt - b.startedAt)
  const stretches: { round: number | null; from: number; until: number }[] = []
  let from = createdAt
  let round: number | null = null
  for (const start of starts) {
    if (start.startedAt > from) {
      stretches.push({ round, from, until: start.startedAt })
      from = start.startedAt
    }
    round = start.round
  }
  const end = Math.max(until, from + 1)
  if (endedAt !== null && endedAt > from && endedAt < end) {
    stretches.push({ round, from, until: endedAt }, { round: null, from: endedAt, until: end })
  } else stretches.push({ round, from, until: end })
  return { stretches, edges: [...stretches.map((each) => each.from), end] }
}

/** From 0 to 1. */
export function positionOf(scale: Scale, moment: number): number {
  const { edges } = scale
  const count = edges.length - 1
  if (moment <= edges[0]!) return 0
  if (moment >= edges[count]!) return 1
  let place = 0
  while (edges[place + 1]! <= moment) place += 1
  const part = (moment - edges[place]!) / (edges[place + 1]! - edges[place]!)
  return (place + part) / count
}

export function momentAt(scale: Scale, position: number): number {
  const { edges } = scale
  const count = edges.length - 1
  const exact = Math.max(0, Math.min(1, position)) * count
  const place = Math.min(count - 1, Math.floor(exact))
  return edges[place]! + (exact - place) * (edges[place + 1]! - edges[place]!)
}
