import { createContext, useContext, useEffect, useMemo, type ReactNode } from 'react'
import { useStore } from 'zustand'
import { createLive, keepLive, type Live, type LiveStore } from '@/stores/live'
import { conditionOf, type NodeFacts } from '@/stores/reducer'
import { Travel, type Shown } from '@/stores/travel'
import { useNow } from '@/stores/clock'
import { byNode } from '@/lib/format'
import type { Condition } from '@/api/schema'

interface RunStores {
  readonly runId: string
  readonly live: LiveStore
  readonly travel: Travel
}

const Context = createContext<RunStores | null>(null)

/** Follows a run for everything inside. */
export function RunProvider({ runId, children }: { runId: string; children: ReactNode }) {
  const stores = useMemo<RunStores>(() => {
    const live = createLive(runId)
    return { runId, live, travel: new Travel(live) }
  }, [runId])
  useEffect(() => {
    const end = keepLive(stores.live)
    stores.travel.start()
    return () => {
      end()
      stores.travel.end()
    }
  }, [stores])
  return <Context value={stores}>{children}</Context>
}

export function useRun(): RunStores {
  const stores = useContext(Context)
  if (stores === null) throw new Error('useRun is used outside of RunProvider')
  return stores
}

/** Of the run as it is now. */
export function useLive<T>(select: (live: Live) => T): T {
  return useStore(useRun().live, select)
}

/** Of the run as it is shown: now, or at a place of its past. */
export function useShown<T>(select: (shown: Shown) => T): T {
  return useStore(useRun().travel.shown, select)
}

/** The moment that is shown, on the monitor's clock. */
export function useMoment(): number {
  const now = useNow()
  return useShown((shown) => shown.moment) ?? now
}

/** The names of the run's sites, by number; another array only where another site is there. */
export function useSites(): readonly string[] {
  const text = useShown((shown) => siteNames(shown))
  return useMemo(() => (text === '' ? [] : text.split('\n')), [text])
}

let namesOf: ReadonlyMap<string, NodeFacts> | undefined
let count = -1
let names = ''

function siteNames({ folded }: Shown): string {
  const nodes = folded?.nodes
  if (nodes === undefined) return ''
  if (nodes === namesOf && nodes.size === count) return names
  namesOf = nodes
  count = nodes.size
  names = [...nodes.keys()].filter((name) => name !== 'server').sort(byNode).join('\n')
  return names
}

export function useNode(nodeId: string): NodeFacts | undefined {
  return useShown((shown) => shown.folded?.nodes.get(nodeId))
}

/** What a node is at, at the moment that is shown. */
export function useCondition(node: NodeFacts | undefined): Condition {
  const now = useMoment()
  return node === undefined ? 'idle' : conditionOf(node, now)
}
