import { useQuery } from '@tanstack/react-query'
import { api, told } from '@/api/client'
import { wordsQuery } from '@/api/queries'
import { allOf, latestOf, useToldEvents } from '@/api/told-events'
import { Dialog } from '@/components/ui/dialog'
import { Notice } from '@/components/ui/notice'
import { NodeCondition, RunState } from '@/components/ui/status'
import { LaneRow, useWaterfall } from '@/features/rounds/round-panel'
import { DESCRIBING } from '@/features/run/description'
import { useCondition, useMoment, useNode, useRun, useShown } from '@/features/run/run-context'
import { age, bytes, count, duration, metricName, moment, nodeName, score, timeOfDay } from '@/lib/format'
import { sentence } from '@/lib/sentence'
import { barsOf, isWithheld, rowsInWords } from './class-rows'

/** All that is known of a node: what it is at, holds, did in this round and before, and what went wrong. */
export function NodeDrawer({ nodeId, onClose, container }: { nodeId: string; onClose: () => void; container: HTMLElement | null }) {
  const node = useNode(nodeId)
  const condition = useCondition(node)
  const run = useShown((shown) => shown.folded?.run)
  const now = useMoment()
  return (
    <Dialog open side container={container} onClose={onClose} title={nodeName(nodeId)} description={nodeId === nodeName(nodeId) ? undefined : nodeId}>
      <div className="flex flex-col gap-4">
        {node === undefined ? (
          <p className="text-muted-foreground">Nothing has been heard of it at this moment.</p>
        ) : (
          <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1.5">
            <Fact name="Is">
              {nodeId === 'server' && run !== undefined ? <RunState state={run.control.state} /> : <NodeCondition condition={condition} />}
            </Fact>
            <Fact name="Latest">{node.type.replace(/_/g, ' ')}</Fact>
            <Fact name="Global round">{node.round === 0 ? 'before the first' : node.round}</Fact>
            <Fact name="Last seen">
              {node.lastSeenAt === null ? 'not yet' : `${age((now - node.lastSeenAt) / 1000)}, ${timeOfDay(node.lastSeenAt)}`}
            </Fact>
            <Fact name="Last message">
              {node.payloadBytes === null && node.latencyMs === null
                ? '–'
                : [node.payloadBytes === null ? null : bytes(node.payloadBytes), node.latencyMs === null ? null : duration(node.latencyMs / 1000)]
                    .filter(Boolean)
                    .join(', ')}
            </Fact>
          </dl>
        )}
        {node?.reason != null && (
          <Notice tone="error" title="It has failed">
            {node.reason}
          </Notice>
        )}
        {nodeId !== 'server' && <Histogram nodeId={nodeId} />}
        <ThisRound nodeId={nodeId} />
        {nodeId !== 'server' && <Rounds nodeId={nodeId} />}
        <History nodeId={nodeId} />
      </div>
    </Dialog>
  )
}

function Fact({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <>
      <dt className="text-muted-foreground">{name}</dt>
      <dd>{children}</dd>
    </>
  )
}

function Part({ title, children }: { title: string; children: React.ReactNode }) {
  return (
    <section aria-label={title}>
      <h3 className="mb-1.5 border-b pb-1 text-xs font-medium text-muted-foreground">{title}</h3>
      {children}
    </section>
  )
}

function Histogram({ nodeId }: { nodeId: string }) {
  const { live } = useRun()
  const { data } = useToldEvents(live, DESCRIBING)
  const about = latestOf(data, 'run_described')
  const told = allOf(data, 'site_described').filter((event) => event.node_id === nodeId)
  // What the site says of its own classes stands, also where the run adds only how many rows it has.
  const site = told.findLast((event) => event.rows_per_class !== null) ?? told.at(-1)
  if (site === undefined) return null
  const bars = barsOf(site.rows_per_class ?? [])
  return (
    <Part title={`Holds ${count(site.rows)} rows for training, ${count(site.validation_rows)} for validation`}>
      {site.scanner != null && <p className="mb-1 text-xs text-muted-foreground">Simulated scanner: {site.scanner}</p>}
      {site.rows_per_class === null ? (
        <p className="text-muted-foreground">Its own data: of how many rows a class has it says nothing.</p>
      ) : (
        <table className="w-full text-xs" aria-label="Rows of each class">
          <tbody>
            {site.rows_per_class.map((rows, place) => (
              // oxlint-disable-next-line react/no-array-index-key -- a class is its place
              <tr key={place}>
                <th scope="row" className="w-32 max-w-32 truncate py-0.5 pr-2 text-left font-normal" title={about?.data.class_names[place]}>
                  {about?.data.class_names[place] ?? `class ${place}`}
                </th>
                <td className="w-full">
                  {bars[place] !== null && (
                    <span className="block h-2.5 rounded-xs bg-series-1" style={{ width: `${bars[place]}%`, background: 'var(--series-1)' }} />
                  )}
                </td>
                <td className="pl-2 text-right whitespace-nowrap">{rowsInWords(rows)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {isWithheld(site.rows_per_class) && (
        <p className="mt-1 text-xs text-muted-foreground">
          Its own data: counts below 5 do not leave it, nor one more from which they could be solved.
        </p>
      )}
    </Part>
  )
}

function ThisRound({ nodeId }: { nodeId: string }) {
  const round = useShown((shown) => shown.folded?.run.round ?? 0)
  const { waterfall } = useWaterfall(round)
  const lane = waterfall?.lanes.find((each) => each.node === nodeId)
  if (lane === undefined || waterfall === null) return null
  return (
    <Part title={`Its time in global round ${round}`}>
      <ul>
        <LaneRow lane={lane} whole={waterfall.milliseconds} chosen={false} />
      </ul>
    </Part>
  )
}

function Rounds({ nodeId }: { nodeId: string }) {
  const values = useShown((shown) => shown.course.sites.get(nodeId))
  useShown((shown) => shown.folded?.nodes.get(nodeId)) // its values are added to in place, with its events
  if (values === undefined || values.size === 0) return null
  const rounds = [...values].sort(([a], [b]) => b - a).slice(0, 12)
  const names = ['accuracy', 'loss', 'train_seconds', 'train_payload_bytes'].filter((name) => rounds.some(([, row]) => row[name] != null))
  const write = (name: string, value: number) =>
    name === 'train_seconds' ? duration(value) : name === 'train_payload_bytes' ? bytes(value) : score(name, value)
  return (
    <Part title="Its latest rounds">
      <table className="w-full text-xs">
        <thead>
          <tr className="text-muted-foreground">
            <th scope="col" className="py-1 text-left font-normal">
              Global round
            </th>
            {names.map((name) => (
              <th key={name} scope="col" className="text-right font-normal">
                {name === 'train_seconds' ? 'trained' : name === 'train_payload_bytes' ? 'sent' : metricName(name)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rounds.map(([round, row]) => (
            <tr key={round}>
              <td className="py-0.5">{row.failed ? `${round} (failed)` : round}</td>
              {names.map((name) => (
                <td key={name} className="text-right">
                  {row[name] == null ? '–' : write(name, row[name])}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </Part>
  )
}

function History({ nodeId }: { nodeId: string }) {
  const { runId } = useRun()
  const words = useQuery(wordsQuery)
  const type = useShown((shown) => shown.folded?.nodes.get(nodeId)?.type)
  const round = useShown((shown) => shown.folded?.nodes.get(nodeId)?.round)
  const at = useShown((shown) => shown.at)
  const { data } = useQuery({
    queryKey: ['history', runId, nodeId, type, round, at],
    queryFn: ({ signal }) =>
      told(
        api.GET('/api/runs/{run_id}/events', {
          params: {
            path: { run_id: runId },
            query: { order: 'newest', node: [nodeId], limit: 40, ...(at === null ? {} : { before: at + 1 }) },
          },
          signal,
        }),
      ),
    placeholderData: (before) => before,
    gcTime: 5_000,
  })
  if (data === undefined || words.data === undefined) return null
  const events = data.events.filter(({ event }) => event.type !== 'node_heartbeat')
  return (
    <Part title="What was heard of it, the newest first">
      <ol className="flex flex-col gap-1 text-xs">
        {events.map(({ seq, event, received_at }) => (
          <li key={seq} className="flex gap-2">
            <time className="shrink-0 text-muted-foreground" title={moment(received_at)}>
              {timeOfDay(received_at)}
            </time>
            <span>{sentence(words.data, event)}</span>
          </li>
        ))}
      </ol>
    </Part>
  )
}
