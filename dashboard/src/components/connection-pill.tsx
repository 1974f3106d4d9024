import { Status } from '@/components/ui/status'
import { duration } from '@/lib/format'
import type { Tone } from '@/lib/tone'
import { onServerClock, useNow } from '@/stores/clock'
import type { Connection } from '@/stores/stream'

/** Whether what is shown is what is. */
export function ConnectionPill({ connection }: { connection: Connection }) {
  const now = useNow()
  const [tone, word, title] = said(connection, now)
  return (
    <span role="status" aria-label={`Connection: ${word}`} className="inline-flex h-7 items-center rounded-full border bg-card px-2.5 text-xs">
      <Status tone={tone} word={word} title={title} />
    </span>
  )
}

function said(connection: Connection, now: number): [Tone, string, string] {
  switch (connection.kind) {
    case 'live':
      return ['running', 'live', 'Everything that the monitor hears is shown at once.']
    case 'connecting':
      return ['waiting', 'connecting', 'The monitor is asked.']
    case 'replaying':
      return ['answering', `replaying ${connection.left}`, 'Events that were missed meanwhile are read, in their order.']
    case 'stale':
      return ['lost', `stale for ${duration((now - onServerClock(connection.since)) / 1000)}`, 'Nothing comes from the monitor.']
    case 'reconnecting':
      return [
        'lost',
        `stale for ${duration((now - onServerClock(connection.since)) / 1000)}, reconnecting ${connection.tries}`,
        'The connection is lost, and is made again by itself. What is shown is as it was then.',
      ]
    case 'unknown run':
      return ['failed', 'unknown run', 'The monitor does not have this run.']
  }
}

/** Whether what is shown may not be what is, so that nothing is to be decided on it. */
export function isBlind(connection: Connection): boolean {
  return connection.kind !== 'live' && connection.kind !== 'replaying'
}
