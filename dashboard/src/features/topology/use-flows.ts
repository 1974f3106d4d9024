import { createContext, useContext, useEffect, useMemo, useSyncExternalStore } from 'react'
import { useRun, useShown } from '@/features/run/run-context'
import { Flows, phaseAt, type Phase } from '@/stores/flows'

export const FlowsContext = createContext<Flows | null>(null)

/** Follows what moves in the run as it is now. */
export function useFlowsOfRun(): Flows {
  const { live } = useRun()
  const flows = useMemo(() => new Flows(), [])
  useEffect(() => {
    let seen = live.getState().folded?.run.lastSeq ?? 0
    const end = live.subscribe(({ recent }) => {
      const last = recent.at(-1)?.seq ?? 0
      if (last <= seen) return
      let from = recent.length
      while (from > 0 && recent[from - 1]!.seq > seen) from -= 1
      seen = last
      flows.take(recent.slice(from), performance.now())
    })
    const clock = setInterval(() => {
      if (!document.hidden) flows.advance(performance.now())
    }, 100)
    return () => {
      end()
      clearInterval(clock)
    }
  }, [flows, live])
  return flows
}

/** What moves to or from a node: slowed down while the run is live, exactly while the past is shown. */
export function usePhase(nodeId: string): Phase {
  const flows = useContext(FlowsContext)!
  const live = useSyncExternalStore(flows.subscribe, () => flows.phase(nodeId))
  const past = useShown((shown) => shown.at !== null)
  const type = useShown((shown) => (shown.at === null ? undefined : shown.folded?.nodes.get(nodeId)?.type))
  return past ? phaseAt(type, nodeId) : live
}
