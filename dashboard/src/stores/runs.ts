/** All runs, as they change: what lists show is brought up to date, and what is counted is counted again. */
import { useEffect } from 'react'
import { useQueryClient, type InfiniteData, type QueryClient } from '@tanstack/react-query'
import { toast } from 'sonner'
import { create } from 'zustand'
import type { RunPage, RunView } from '@/api/schema'
import { setClock } from './clock'
import { follow, type Connection } from './stream'

export const useRunsConnection = create<{ connection: Connection }>(() => ({ connection: { kind: 'connecting' } }))

const changes = new Set<(run: RunView) => void>()

/** Call back with each run that is another than before. */
export function onRunChange(callback: (run: RunView) => void): () => void {
  changes.add(callback)
  return () => changes.delete(callback)
}

/** Follow all runs while this is mounted. */
export function useRunsStream(wanted: boolean): void {
  const client = useQueryClient()
  useEffect(() => {
    if (!wanted) return
    let reached = false
    let counting: ReturnType<typeof setTimeout> | undefined
    const count = () => {
      counting ??= setTimeout(() => {
        counting = undefined
        void client.invalidateQueries({ queryKey: ['runs'] })
        void client.invalidateQueries({ queryKey: ['attention'] })
      }, 1_500)
    }
    const end = follow(null, {
      cursor: () => 0,
      connection: (connection) => {
        useRunsConnection.setState({ connection })
        // A socket that is refused does not say why: the session may have ended.
        if (connection.kind === 'reconnecting' && connection.tries === 2)
          void client.invalidateQueries({ queryKey: ['session'] })
        if (connection.kind === 'live' && reached) void client.invalidateQueries()
        if (connection.kind === 'live') reached = true
      },
      begin: () => client.invalidateQueries(),
      anew: (reason) => toast.info(`${reason} Everything is read anew.`),
      take: (frames) => {
        for (const frame of frames) {
          if ('now' in frame) setClock(frame.now)
          if (frame.type !== 'run') continue
          if (!show(client, frame.run)) count()
          for (const callback of changes) callback(frame.run)
        }
      },
    })
    return () => {
      end()
      clearTimeout(counting)
    }
  }, [client, wanted])
}

/** Put a run where lists have it; whether nothing else than its figures changed. */
function show(client: QueryClient, run: RunView): boolean {
  let asBefore = false
  client.setQueriesData<InfiniteData<RunPage>>({ queryKey: ['runs'] }, (known) => {
    if (known === undefined) return known
    return {
      ...known,
      pages: known.pages.map((page) => ({
        ...page,
        runs: page.runs.map((each) => {
          if (each.run_id !== run.run_id) return each
          asBefore ||= each.state === run.state && each.stalled === run.stalled
          return run
        }),
      })),
    }
  })
  return asBefore
}
