import { useQuery } from '@tanstack/react-query'
import type { EventOf } from '@/api/client'
import { wordsQuery } from '@/api/queries'
import { allOf, useToldEvents } from '@/api/told-events'
import { Bar } from '@/components/ui/bar'
import { Empty } from '@/components/ui/notice'
import { Status } from '@/components/ui/status'
import { count, duration } from '@/lib/format'
import type { Tone } from '@/lib/tone'
import { STAGE_EVENTS } from './description'
import { useRun, useShown } from './run-context'

type Stage = EventOf<'stage_progress'>

const TONES: Record<Stage['status'], [Tone, string]> = {
  running: ['running', 'at it'],
  completed: ['completed', 'done'],
  given_up: ['lost', 'given up'],
}

/** What is prepared before the sites are asked anything: each stage, and how far it is. */
export function Stages() {
  const { live } = useRun()
  const at = useShown((shown) => shown.at)
  const attempt = useShown((shown) => shown.folded?.run.control.attempt)
  const { data } = useToldEvents(live, STAGE_EVENTS)
  const words = useQuery(wordsQuery)
  const latest = new Map<string, Stage>()
  for (const stage of allOf(data, 'stage_progress', at)) if (stage.attempt === attempt) latest.set(stage.stage, stage)
  if (latest.size === 0)
    return <Empty title="No site has been heard of yet.">They appear as soon as the server asks one, or is told of one.</Empty>
  return (
    <div className="mx-auto flex h-full max-w-xl flex-col justify-center gap-3 p-6">
      <h2 className="font-semibold">Preparation</h2>
      <ol className="flex flex-col gap-2.5">
        {[...latest.values()].map((stage) => (
          <StageRow key={stage.stage} stage={stage} words={words.data?.stages[stage.stage] ?? stage.stage} />
        ))}
      </ol>
      <p className="text-xs text-muted-foreground">The sites appear as soon as the server asks one.</p>
    </div>
  )
}

function StageRow({ stage, words }: { stage: Stage; words: string }) {
  const [tone, word] = TONES[stage.status]
  const done = stage.done ?? 0
  return (
    <li className="grid grid-cols-[1fr_auto] items-center gap-x-4 gap-y-1">
      <span>{words}</span>
      <Status tone={tone} word={word} className="justify-self-end" />
      {stage.status === 'running' && stage.total != null && stage.total > 0 && (
        <>
          <Bar value={done} max={stage.total} label={words} className="w-full" />
          <span className="text-xs text-muted-foreground">
            {count(done)} of {count(stage.total)} {stage.unit}
            {stage.seconds_left == null ? '' : `, about ${duration(stage.seconds_left)} left`}
          </span>
        </>
      )}
    </li>
  )
}
