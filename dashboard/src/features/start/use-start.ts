import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useRef } from 'react'
import { useNavigate } from 'react-router'
import { api, told } from '@/api/client'
import type { StartRequest } from '@/api/schema'
import { useSession } from '@/features/session/session'
import type { Draft } from './draft'

export interface Start {
  start: () => void
  /** From the click until the answer. */
  busy: boolean
  error: Error | null
}

/** Asks for a run, once: the same name and the same request twice are one run, also after an answer that was lost. */
export function useStart(runId: string, draft: Draft): Start {
  const { askName } = useSession()
  const navigate = useNavigate()
  const client = useQueryClient()
  // A second click comes before the first has been drawn.
  const under = useRef(false)
  const { mutate, isPending, error } = useMutation({
    mutationFn: async () => {
      const name = await askName()
      if (name === null) throw new Error('A run carries the name of whoever asks for it. Give yours, and start again.')
      const body: StartRequest = { run_id: runId, request: { ...draft, requested_by: name } }
      return told(api.POST('/api/runs', { body }))
    },
    onSuccess: async (run) => {
      void client.invalidateQueries({ queryKey: ['runs'] })
      await navigate(`/runs/${encodeURIComponent(run.run_id)}`)
    },
    onSettled: () => {
      under.current = false
    },
  })
  const start = () => {
    if (under.current) return
    under.current = true
    mutate()
  }
  return { start, busy: isPending, error }
}
