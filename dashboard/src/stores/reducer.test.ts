import type { Condition } from '@/api/schema'
import { columnsOf, recordings } from '@/test/recordings'
import { allowed } from './control'
import { conditionOf, fold, itemOf, patienceSeconds, type Folded } from './reducer'
import { Replay } from './timeline'

const iso = (at: number | null) => (at === null ? null : new Date(at).toISOString())

/** What was folded, as the monitor shows it. */
function viewsOf(folded: Folded, now: number): Record<string, unknown> {
  const { run } = folded
  const views: Record<string, unknown> = {
    'run run_id': run.runId,
    'run phase': run.phase,
    'run requested_by': run.requestedBy,
    'run created_at': iso(run.createdAt),
    'run state': run.control.state,
    'run attempt': run.control.attempt,
    'run claimable': run.control.claimable,
    'run claimed_by': run.claimedBy,
    'run lease_over': run.leaseOver,
    'run claimant_url': run.claimantUrl,
    'run allowed': allowed(run.control),
    'run reason': run.reason,
    'run engine': run.engine,
    'run clients': run.clients,
    'run round': run.round,
    'run rounds_total': run.roundsTotal,
    'run model_sha256': run.modelSha256,
    'run metrics': run.metrics,
    'run stand_ins': run.standIns,
    'run activity': run.activity,
    'run patience_seconds': patienceSeconds(run),
    'run progress_at': iso(run.progressAt),
    'run last_seq': run.lastSeq,
    'run last_event_at': iso(run.lastEventAt),
  }
  for (const node of folded.nodes.values())
    views[`node ${node.nodeId}`] = {
      node_id: node.nodeId,
      role: node.role,
      status: node.status,
      condition: conditionOf(node, now) satisfies Condition,
      latest_event: node.type,
      round: node.round,
      attempt: node.attempt,
      last_seen_at: iso(node.lastSeenAt),
      reason: node.reason,
    }
  for (const round of folded.rounds.values())
    views[`round ${round.round}`] = {
      round: round.round,
      attempt: round.attempt,
      started_at: iso(round.startedAt),
      completed_at: iso(round.completedAt),
      participants: round.participants,
      metrics: round.metrics,
      model_sha256: round.modelSha256,
    }
  for (const command of folded.commands.values())
    views[`command ${command.commandId}`] = {
      command_id: command.commandId,
      run_id: run.runId,
      command: command.command,
      given_by: command.givenBy,
      attempt: command.attempt,
      requested_at: iso(command.requestedAt),
      acknowledged_at: iso(command.acknowledgedAt),
      effective_at: iso(command.effectiveAt),
      effective_round: command.effectiveRound,
      outcome: command.outcome,
    }
  return views
}

/** Moments to the millisecond: this clock has no finer ones. */
function rounded(value: unknown): unknown {
  if (typeof value === 'string' && /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(value)) return new Date(Date.parse(value)).toISOString()
  if (Array.isArray(value)) return value.map(rounded)
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, rounded(each)]))
  return value
}

describe.each(recordings)('%s', (_, { events, changes }) => {
  test('what its events say, up to any of them, is what the monitor said at that moment', () => {
    const shown: Record<string, unknown> = {}
    let folded: Folded | null = null
    events.forEach((recorded, place) => {
      Object.assign(shown, changes[place])
      folded = fold(folded, [itemOf(recorded)])
      const views = viewsOf(folded!, Date.parse(recorded.received_at))
      for (const name of Object.keys(shown)) if (name.startsWith('node ')) conditionAtNow(shown, name, views)
      expect(rounded(views), `after event ${recorded.seq}, ${recorded.event.type}`).toEqual(rounded(shown))
    })
    expect(events.length).toBeGreaterThan(50)
  })

  test('it does not matter how many events are taken in at once', () => {
    const items = events.map(itemOf)
    const atOnce = fold(null, items)
    const oneByOne = items.reduce<Folded | null>((before, item) => fold(before, [item]), null)
    const inTwo = fold(fold(null, items.slice(0, 31)), items.slice(31))
    expect(atOnce).toEqual(oneByOne)
    expect(inTwo).toEqual(oneByOne)
  })

  test('what was shown before stays what it was', () => {
    const items = events.map(itemOf)
    const before = fold(null, items.slice(0, 60))
    const copy = structuredClone(before)
    fold(before, items.slice(60))
    expect(before).toEqual(copy)
  })

  test('the way through time comes to the same, at any place', () => {
    const replay = new Replay()
    const items = events.map(itemOf).filter((item) => item.event.type !== 'node_heartbeat')
    const cut = Math.floor(items.length / 2)
    replay.append(columnsOf(items.slice(0, cut)))
    replay.append(columnsOf(items.slice(cut)))
    for (let count = 1; count <= items.length; count += 7) {
      const now = items[count - 1]!.at
      expect(viewsOf(replay.state(count)!, now), `${count} events`).toEqual(viewsOf(fold(null, items.slice(0, count))!, now))
      expect(replay.countUpTo(items[count - 1]!.seq)).toBe(count)
    }
  })
})

/** A condition moves with the clock: the recording has it of the moment at which its node was shown last. */
function conditionAtNow(shown: Record<string, unknown>, name: string, views: Record<string, unknown>): void {
  const kept = shown[name] as { condition: string; latest_event: string }
  const now = views[name] as { condition: string }
  if (kept.latest_event === 'node_heartbeat' && now.condition === 'silent') shown[name] = { ...kept, condition: 'silent' }
}
