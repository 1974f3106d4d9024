/**
 * From the events of a run to what is known of it: the monitor's `reducer.py`, over the same tables.
 * Recorded runs hold one against the other, prefix by prefix (`reducer.test.ts`).
 *
 * Every fact is replaced and never changed, so that what was shown before stays what it was.
 */
import type { Event } from '@/api/client'
import type { Command, Condition, RecordedEvent, RunRequestOutput, Snapshot, State } from '@/api/schema'
import { BEGINNING, at, claimed, commanded, noticed, type Control } from './control'
import { machine, type StandIn } from './machine'

/** An event with its place in its run and the moment of its receipt, in milliseconds since 1970. */
export interface Item {
  readonly seq: number
  readonly at: number
  readonly deed: boolean
  readonly event: Event
}

export interface RunFacts {
  readonly runId: string
  readonly control: Control
  readonly phase: string | null
  readonly request: RunRequestOutput | null
  readonly requestedBy: string | null
  readonly reason: string | null
  readonly engine: string | null
  readonly clients: number | null
  readonly round: number
  readonly roundsTotal: number | null
  readonly modelSha256: string | null
  readonly claimedBy: string | null
  readonly claimantUrl: string | null
  readonly leaseOver: boolean
  readonly activity: string | null
  readonly progressAt: number | null
  readonly longestGaps: Readonly<Record<string, number>>
  readonly metrics: Readonly<Record<string, number>>
  /** What of it is not real: no score of it says anything of medicine. */
  readonly standIns: readonly StandIn[]
  readonly createdAt: number
  readonly lastSeq: number
  readonly lastEventAt: number | null
}

export interface NodeFacts {
  readonly nodeId: string
  readonly role: string
  readonly status: string
  readonly type: string
  readonly round: number
  readonly attempt: number
  readonly lastSeenAt: number | null
  readonly reason: string | null
  /** Of the latest message to or from it. */
  readonly latencyMs: number | null
  readonly payloadBytes: number | null
}

export interface RoundFacts {
  readonly round: number
  readonly attempt: number
  readonly startedAt: number | null
  readonly completedAt: number | null
  readonly participants: readonly number[]
  readonly metrics: Readonly<Record<string, number>>
  readonly modelSha256: string | null
}

export interface CommandFacts {
  readonly commandId: string
  readonly command: Command
  readonly givenBy: string
  readonly attempt: number
  readonly requestedAt: number
  readonly acknowledgedAt: number | null
  readonly effectiveAt: number | null
  readonly effectiveRound: number | null
  readonly outcome: string | null
}

/** Everything that the events of a run say, up to one of them. */
export interface Folded {
  readonly run: RunFacts
  readonly nodes: ReadonlyMap<string, NodeFacts>
  readonly rounds: ReadonlyMap<number, RoundFacts>
  readonly commands: ReadonlyMap<string, CommandFacts>
}

const MONITOR = 'monitor'
const DEEDS = new Set<Event['type']>([
  'command_given',
  'command_acknowledged',
  'command_settled',
  'run_claimed',
  'lease_ended',
  'run_lost',
  'run_back',
])

export function itemOf(recorded: RecordedEvent): Item {
  return { seq: recorded.seq, at: Date.parse(recorded.received_at), deed: recorded.deed, event: recorded.event }
}

/** With the next events taken in; a map is copied once, and only if something in it is another. */
export function fold(before: Folded | null, items: Iterable<Item>): Folded | null {
  let folded = before
  let nodes: Map<string, NodeFacts> | undefined
  let rounds: Map<number, RoundFacts> | undefined
  let commands: Map<string, CommandFacts> | undefined
  let run = before?.run
  for (const item of items) {
    const { event } = item
    run = reduceRun(run ?? newRun(event.run_id, item.at), item)
    if (item.deed) {
      commands ??= new Map(folded?.commands)
      reduceCommands(commands, item)
    }
    if (event.node_id !== MONITOR) {
      nodes ??= new Map(folded?.nodes)
      nodes.set(event.node_id, reduceNode(nodes.get(event.node_id), item))
    }
    if (event.round > 0 && machine.of_rounds.includes(event.type)) {
      rounds ??= new Map(folded?.rounds)
      rounds.set(event.round, reduceRound(rounds.get(event.round), event))
    }
  }
  if (run === undefined || run === before?.run) return before
  folded = {
    run,
    nodes: nodes ?? folded?.nodes ?? new Map(),
    rounds: rounds ?? folded?.rounds ?? new Map(),
    commands: commands ?? folded?.commands ?? new Map(),
  }
  return folded
}

function newRun(runId: string, createdAt: number): RunFacts {
  return {
    runId,
    control: BEGINNING,
    phase: null,
    request: null,
    requestedBy: null,
    reason: null,
    engine: null,
    clients: null,
    round: 0,
    roundsTotal: null,
    modelSha256: null,
    claimedBy: null,
    claimantUrl: null,
    leaseOver: false,
    activity: null,
    progressAt: null,
    longestGaps: {},
    metrics: {},
    standIns: [],
    createdAt,
    lastSeq: 0,
    lastEventAt: null,
  }
}

function reduceRun(before: RunFacts, item: Item): RunFacts {
  const run = { ...before, lastSeq: item.seq }
  if (item.deed) return { ...run, ...ofDeed(run, item.event) }
  if (DEEDS.has(item.event.type)) return run
  const control = noticed(run.control, item.event)
  let after: RunFacts = { ...run, lastEventAt: item.at }
  if (item.event.attempt === control.attempt) {
    after = { ...after, ...factsOf(after, item.event) }
    if (item.event.type !== 'node_heartbeat') after = { ...after, ...progressOf(after, item) }
  }
  return { ...after, control }
}

function ofDeed(run: RunFacts, event: Event): Partial<RunFacts> {
  const { control } = run
  switch (event.type) {
    case 'run_requested':
      return { ...factsOf(run, event), control: at(control.state, control.attempt, { claimable: true }) }
    case 'command_given':
      return { control: commanded(control, event.command) ?? control }
    case 'run_claimed':
      return {
        control: claimed(control) ?? control,
        claimedBy: event.claimed_by,
        claimantUrl: event.url ?? run.claimantUrl,
        leaseOver: false,
      }
    case 'lease_ended':
      return { leaseOver: true, claimedBy: event.status === 'expired' ? run.claimedBy : null }
    case 'run_lost':
      if (control.state === 'completed') return { control: { ...control, closing: null } }
      return { control: at('lost', control.attempt, { claimable: event.claimable, beforeLost: control.state }) }
    case 'run_back':
      return control.state === 'lost' ? { control: at(control.beforeLost ?? 'running', control.attempt) } : {}
    default:
      return {}
  }
}

export function standInsOf({ data, backbone }: Extract<Event, { type: 'run_described' }>): StandIn[] {
  return [...(data.phantom ? (['phantom_data'] as const) : []), ...(backbone.trained ? [] : (['untrained_backbone'] as const))]
}

/** What an event says of its run. A type of event that the monitor has and this does not deal with does not compile. */
function factsOf(run: RunFacts, event: Event): Partial<RunFacts> {
  const round = event.attempt > run.control.attempt ? event.round : Math.max(run.round, event.round)
  switch (event.type) {
    case 'run_requested':
      if (run.request !== null) return { round }
      return { round, phase: event.request.phase, request: event.request, requestedBy: event.request.requested_by }
    case 'run_started':
      return { round, engine: event.engine, roundsTotal: event.rounds_total, clients: event.clients, reason: null }
    case 'run_described':
      return { round, standIns: standInsOf(event) }
    case 'run_completed':
      return { round, modelSha256: event.model_sha256 }
    case 'run_failed':
    case 'run_stopped':
      return { round, reason: event.reason }
    case 'round_completed':
      return { round, metrics: event.metrics }
    case 'aggregation_completed':
    case 'aggregation_started':
    case 'checkpoint_saved':
    case 'client_evaluated':
    case 'client_train_completed':
    case 'client_train_started':
    case 'client_update_arriving':
    case 'client_update_uploaded':
    case 'command_acknowledged':
    case 'command_given':
    case 'command_settled':
    case 'events_dropped':
    case 'lease_ended':
    case 'model_dispatched':
    case 'node_error':
    case 'node_heartbeat':
    case 'round_started':
    case 'run_back':
    case 'run_bounded':
    case 'run_claimed':
    case 'run_evaluated':
    case 'run_lost':
    case 'run_paused':
    case 'run_resumed':
    case 'site_bounded':
    case 'site_described':
    case 'site_evaluated':
    case 'site_seen':
    case 'sites_awaited':
    case 'stage_progress':
      return { round }
    default:
      event satisfies never
      return {}
  }
}

function progressOf(run: RunFacts, { event, at: moment }: Item): Partial<RunFacts> {
  let { longestGaps } = run
  if (run.progressAt !== null && run.activity !== null && event.type !== 'run_resumed') {
    const gap = (moment - run.progressAt) / 1000
    if (gap > (longestGaps[run.activity] ?? 0)) longestGaps = { ...longestGaps, [run.activity]: gap }
  }
  return { longestGaps, progressAt: moment, activity: activityAfter(event, run.activity) }
}

function activityAfter(event: Event, before: string | null): string | null {
  if (event.type === 'stage_progress') {
    if (event.status === 'running') return event.stage
    return machine.afterwards.includes(event.stage) ? null : machine.preparation
  }
  if ('task' in event && event.task && event.type !== 'node_error') return event.task
  const follows = machine.activities[event.type]
  return follows === undefined ? before : follows
}

function reduceNode(before: NodeFacts | undefined, { event, at: moment }: Item): NodeFacts {
  const ofServer = event.node_id === 'server'
  const fromItself = (event.role === 'server') === ofServer || event.type === 'client_update_uploaded'
  return {
    nodeId: event.node_id,
    role: event.role,
    status: event.type === 'site_seen' && event.status === 'online' ? event.at : event.status,
    type: event.type,
    round: event.round,
    attempt: event.attempt,
    lastSeenAt: fromItself ? moment : (before?.lastSeenAt ?? null),
    reason: event.type === 'node_error' ? event.reason : null,
    latencyMs: event.latency_ms ?? before?.latencyMs ?? null,
    payloadBytes: event.payload_bytes ?? before?.payloadBytes ?? null,
  }
}

function reduceRound(before: RoundFacts | undefined, event: Event): RoundFacts {
  const known: RoundFacts =
    before !== undefined && event.attempt <= before.attempt
      ? before
      : {
          round: event.round,
          attempt: event.attempt,
          startedAt: null,
          completedAt: null,
          participants: [],
          metrics: {},
          modelSha256: null,
        }
  const metrics = { ...known.metrics, ...event.metrics }
  switch (event.type) {
    case 'round_started':
      return { ...known, metrics, startedAt: Date.parse(event.ts), participants: event.participants }
    case 'round_completed':
      return { ...known, metrics, completedAt: Date.parse(event.ts) }
    case 'checkpoint_saved':
      return { ...known, metrics, modelSha256: event.model_sha256 }
    default:
      return { ...known, metrics }
  }
}

function reduceCommands(commands: Map<string, CommandFacts>, { event, at: moment }: Item): void {
  if (event.type === 'command_given') {
    commands.set(event.command_id, {
      commandId: event.command_id,
      command: event.command,
      givenBy: event.given_by,
      attempt: event.attempt,
      requestedAt: moment,
      acknowledgedAt: null,
      effectiveAt: null,
      effectiveRound: null,
      outcome: null,
    })
    return
  }
  if (event.type !== 'command_acknowledged' && event.type !== 'command_settled') return
  const command = commands.get(event.command_id)
  if (command === undefined) return
  if (event.type === 'command_acknowledged') commands.set(event.command_id, { ...command, acknowledgedAt: moment })
  else if (event.status !== 'effective') commands.set(event.command_id, { ...command, outcome: event.status })
  else
    commands.set(event.command_id, {
      ...command,
      outcome: event.status,
      effectiveAt: moment,
      effectiveRound: event.effective_round ?? null,
    })
}

/** What a node is at; `now` is the monitor's clock. */
export function conditionOf(node: NodeFacts, now: number): Condition {
  const silent = node.lastSeenAt === null ? 0 : (now - node.lastSeenAt) / 1000
  if (node.type === 'node_heartbeat' && silent > machine.silent_site_seconds) return 'silent'
  if (node.type === 'site_seen') return machine.seen[node.status] ?? 'idle'
  return machine.conditions[node.type as Event['type']] ?? 'idle'
}

/** After how many seconds without progress the run counts as stalled. */
export function patienceSeconds(run: RunFacts): number {
  const gap = run.longestGaps[run.activity ?? machine.preparation] ?? 0
  return Math.max(machine.least_patience_seconds, machine.patience_factor * gap)
}

/** What a snapshot of the monitor says, as facts that its following events continue. */
export function factsOfSnapshot(snapshot: Snapshot): Folded {
  const { run } = snapshot
  return {
    run: {
      runId: run.run_id,
      control: at(run.state as State, run.attempt, { claimable: run.claimable }),
      phase: run.phase,
      request: run.request,
      requestedBy: run.requested_by,
      reason: run.reason,
      engine: run.engine,
      clients: run.clients,
      round: run.round,
      roundsTotal: run.rounds_total,
      modelSha256: run.model_sha256,
      claimedBy: run.claimed_by,
      claimantUrl: run.claimant_url,
      leaseOver: run.lease_over,
      activity: run.activity,
      progressAt: moment(run.progress_at),
      longestGaps: {},
      metrics: run.metrics,
      standIns: run.stand_ins,
      createdAt: Date.parse(run.created_at),
      lastSeq: snapshot.cursor,
      lastEventAt: moment(run.last_event_at),
    },
    nodes: new Map(
      snapshot.nodes.map((node) => [
        node.node_id,
        {
          nodeId: node.node_id,
          role: node.role,
          status: node.status,
          type: node.latest_event,
          round: node.round,
          attempt: node.attempt,
          lastSeenAt: moment(node.last_seen_at),
          reason: node.reason,
          latencyMs: null,
          payloadBytes: null,
        },
      ]),
    ),
    rounds: new Map(
      snapshot.rounds.map((round) => [
        round.round,
        {
          round: round.round,
          attempt: round.attempt,
          startedAt: moment(round.started_at),
          completedAt: moment(round.completed_at),
          participants: round.participants,
          metrics: round.metrics,
          modelSha256: round.model_sha256,
        },
      ]),
    ),
    commands: new Map(),
  }
}

function moment(text: string | null | undefined): number | null {
  return text ? Date.parse(text) : null
}
