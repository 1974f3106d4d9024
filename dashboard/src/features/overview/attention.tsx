import { useQuery } from '@tanstack/react-query'
import { Link } from 'react-router'
import { attentionQuery } from '@/api/queries'
import type { Attention as AttentionView, AttentionKind } from '@/api/schema'
import { Ago } from '@/components/moment'
import { Failed, Loading } from '@/components/ui/notice'
import { Panel } from '@/components/ui/panel'
import { StatusShape } from '@/components/ui/status'
import type { Tone } from '@/lib/tone'

const TONES: Record<AttentionKind, Tone> = {
  database_nearly_full: 'failed',
  stalled: 'lost',
  lost: 'lost',
  silent_site: 'lost',
  failed: 'failed',
  unclaimed: 'waiting',
  missing_events: 'paused',
}

type Need = AttentionView['needs'][number]

/** What needs somebody, each with its next step. */
export function Attention() {
  const { data, error, refetch } = useQuery(attentionQuery)
  if (data === undefined) {
    if (error !== null) return <Failed error={error} retry={() => void refetch()} />
    return <Loading what="The monitor is asked" className="py-2" />
  }
  if (data.needs.length === 0)
    return (
      <p className="flex items-center gap-2 text-muted-foreground">
        <StatusShape tone="completed" /> Nothing needs anybody.
      </p>
    )
  return (
    <Panel title="Needs somebody" aside={<span className="text-xs text-muted-foreground">{data.needs.length}</span>} className="rounded-md border bg-card">
      <ul className="max-h-64 divide-y overflow-y-auto">
        {data.needs.map((need) => (
          <NeedItem key={`${need.kind} ${need.run_id ?? ''} ${need.node_id ?? ''}`} need={need} />
        ))}
      </ul>
    </Panel>
  )
}

function NeedItem({ need }: { need: Need }) {
  return (
    <li className="flex gap-2.5 px-3 py-2" data-tone={TONES[need.kind]}>
      <StatusShape tone={TONES[need.kind]} className="mt-1" />
      <div className="min-w-0 grow">
        <p>
          <span className="font-medium text-status">{need.kind.replace(/_/g, ' ')}</span>{' '}
          {need.run_id !== null && (
            <Link to={`/runs/${need.run_id}${need.node_id === null ? '' : `?node=${need.node_id}`}`} className="font-mono text-xs underline underline-offset-2">
              {need.run_id}
            </Link>
          )}{' '}
          <span>{need.what}</span>
        </p>
        <p className="text-muted-foreground">{need.next_step}</p>
      </div>
      <span className="text-xs text-muted-foreground">
        <Ago at={need.since} />
      </span>
    </li>
  )
}
