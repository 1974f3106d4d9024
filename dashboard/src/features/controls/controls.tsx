import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { Pause, Play, RotateCcw, Square } from 'lucide-react'
import { useEffect, useId, useRef, useState } from 'react'
import { Link } from 'react-router'
import { toast } from 'sonner'
import { api, told } from '@/api/client'
import { commandsQuery } from '@/api/queries'
import type { Command, CommandView, RunView } from '@/api/schema'
import { isBlind } from '@/components/connection-pill'
import { Button } from '@/components/ui/button'
import { Dialog } from '@/components/ui/dialog'
import { useLive, useRun, useShown } from '@/features/run/run-context'
import { useSession } from '@/features/session/session'
import { duration, timeOfDay } from '@/lib/format'

const ICONS = { pause: Pause, resume: Play, stop: Square } as const
const COMMANDS: Command[] = ['pause', 'resume', 'stop']

/** What can be done with the run; of what cannot, why: in the monitor's words. */
export function Controls() {
  const { runId } = useRun()
  const run = useLive((live) => live.run)
  const blind = useLive((live) => isBlind(live.connection))
  const past = useShown((shown) => shown.at !== null)
  const { askName, view } = useSession()
  const client = useQueryClient()
  const [stopping, setStopping] = useState(false)
  const key = useRef<{ command: Command; attempt: number; state: string; id: string } | null>(null)
  const give = useMutation({
    mutationFn: async (command: Command) => {
      const name = await askName()
      if (name === null || run === null) return null
      // The same wish in the same situation is the same command, however often it is clicked.
      const known = key.current
      const same = known?.command === command && known.attempt === run.attempt && known.state === run.state
      if (!same) key.current = { command, attempt: run.attempt, state: run.state, id: crypto.randomUUID() }
      return await told(
        api.POST('/api/runs/{run_id}/commands', {
          params: { path: { run_id: runId } },
          body: { command, given_by: name, command_id: key.current!.id },
        }),
      )
    },
    onError: (error) => toast.error(error.message),
    onSettled: () => client.invalidateQueries({ queryKey: ['commands', runId] }),
  })
  const pressed = (command: Command) => (command === 'stop' ? setStopping(true) : give.mutate(command))
  return (
    <div className="flex flex-wrap items-center gap-1.5">
      {COMMANDS.map((command) => (
        <CommandButton
          key={command}
          command={command}
          reason={whyNot(command, run, { blind, past, busy: give.isPending, mayNot: view?.right === 'emitter' })}
          onPress={() => pressed(command)}
        />
      ))}
      <Button variant="ghost" asChild>
        <Link to={`/start?like=${encodeURIComponent(runId)}`} title="A new run that asks for the same">
          <RotateCcw aria-hidden />
          <span className="max-xl:sr-only">Start again like this</span>
        </Link>
      </Button>
      <Dialog
        open={stopping}
        onClose={() => setStopping(false)}
        title="Stop this run?"
        description="It stops at once, also in the middle of training. It can be resumed from its last checkpoint, and ends with the same model."
      >
        <div className="flex justify-end gap-2">
          <Button onClick={() => setStopping(false)}>Let it run</Button>
          <Button
            variant="destructive"
            onClick={() => {
              setStopping(false)
              give.mutate('stop')
            }}
          >
            Stop the run
          </Button>
        </div>
      </Dialog>
    </div>
  )
}

interface Situation {
  blind: boolean
  past: boolean
  busy: boolean
  mayNot: boolean
}

/** Why a command cannot be given now; `null` where it can. */
export function whyNot(command: Command, run: RunView | null, { blind, past, busy, mayNot }: Situation): string | null {
  if (run === null) return 'The run is not known yet.'
  if (past) return 'The past is shown: go back to live first.'
  if (blind) return 'The connection is lost: what is shown may not be what is.'
  if (busy) return 'A command is being given.'
  if (mayNot) return 'This token may only deliver events.'
  if (run.allowed.includes(command)) return null
  return run.refused[command] ?? `The run is ${run.state}.`
}

function CommandButton({ command, reason, onPress }: { command: Command; reason: string | null; onPress: () => void }) {
  const id = useId()
  const Icon = ICONS[command]
  return (
    <>
      <Button
        aria-disabled={reason !== null}
        aria-describedby={reason === null ? undefined : id}
        title={reason ?? undefined}
        onClick={() => reason === null && onPress()}
        variant={command === 'stop' && reason === null ? 'destructive' : 'outline'}
        className="capitalize"
      >
        <Icon aria-hidden />
        {command}
      </Button>
      {reason !== null && (
        <span id={id} className="sr-only">
          {reason}
        </span>
      )}
    </>
  )
}

/** What has become of the latest command. */
export function LatestCommand() {
  const { runId, live } = useRun()
  const client = useQueryClient()
  const { data } = useQuery(commandsQuery(runId))
  useEffect(() => {
    let commands = live.getState().folded?.commands
    return live.subscribe(({ folded }) => {
      if (folded?.commands === commands) return
      commands = folded?.commands
      void client.invalidateQueries({ queryKey: ['commands', runId] })
    })
  }, [client, live, runId])
  const latest = data?.commands[0]
  if (latest === undefined) return null
  return (
    <p role="status" className="text-xs text-muted-foreground">
      {courseOf(latest)}
    </p>
  )
}

/** Requested, acknowledged, effective at a round: as far as it has come. */
export function courseOf(command: CommandView): string {
  const asked = `${command.command} asked for by ${command.given_by} at ${timeOfDay(command.requested_at)}`
  const heard = command.acknowledged_at === null ? 'not heard by the run yet' : 'heard by the run'
  if (command.outcome === null) return `${asked} → ${heard}`
  if (command.outcome !== 'effective') return `${asked} → ${command.outcome}`
  const round = command.effective_round === null ? '' : ` at round ${command.effective_round}`
  const took = command.seconds_to_effect === null ? '' : `, after ${duration(command.seconds_to_effect)}`
  return `${asked} → effective${round}${took}`
}
