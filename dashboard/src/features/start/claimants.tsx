import { Command, Notice } from '@/components/ui/notice'
import { Status } from '@/components/ui/status'
import { useForm } from './form-context'
import { exclusions } from './offered'

/** Who is there to carry the run out, and who of them does not take it as it is. */
export function Claimants() {
  const { views, state } = useForm()
  if (views.length === 0) return <Nobody />
  const excluding = new Map(exclusions(views, state.draft).map(({ claimant, reason }) => [claimant, reason]))
  return (
    <ul aria-label="Who would carry it out" className="flex flex-col gap-1 px-3 py-3">
      {views.map(({ claimant, offer }) => {
        const reason = excluding.get(claimant)
        return (
          <li key={claimant} className="flex flex-wrap items-baseline gap-x-2">
            <Status tone={reason ? 'failed' : 'completed'} word={reason ? 'does not take it' : 'takes it'} />
            <span className="min-w-0 break-words">
              {claimant}
              {reason !== undefined && <span className="text-muted-foreground">: {reason}</span>}
              {reason === undefined && offer.defaults.superlink !== null && (
                <span className="text-muted-foreground">, over the SuperLink {offer.defaults.superlink}</span>
              )}
            </span>
          </li>
        )
      })}
    </ul>
  )
}

function Nobody() {
  return (
    <Notice tone="warning" title="Nobody is there who carries runs out" className="m-3">
      <p className="mb-2">
        What may be asked for is therefore not known here. A request waits until somebody takes it up. Start one on the machine that is to do the work:
      </p>
      <Command>{`fedforge agent --monitor ${location.origin}`}</Command>
    </Notice>
  )
}
