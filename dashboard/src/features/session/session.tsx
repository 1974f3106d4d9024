/** Who uses this browser: a token is traded for a session once, and the name that commands carry is asked once. */
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { createContext, useCallback, useContext, useEffect, useMemo, useRef, useState, type FormEvent, type ReactNode } from 'react'
import { api, ApiError, onSessionEnd, told } from '@/api/client'
import type { SessionView } from '@/api/schema'
import { Button } from '@/components/ui/button'
import { Dialog } from '@/components/ui/dialog'
import { Input } from '@/components/ui/field'
import { Notice } from '@/components/ui/notice'

interface Session {
  readonly view: SessionView | undefined
  /** The name that commands carry; asked for where it is not known yet, `null` where nobody wants to say it. */
  readonly askName: () => Promise<string | null>
  readonly rename: () => void
  readonly leave: () => Promise<void>
}

const Context = createContext<Session | null>(null)

export function useSession(): Session {
  const session = useContext(Context)
  if (session === null) throw new Error('useSession is used outside of SessionProvider')
  return session
}

const KEY = ['session']

export function SessionProvider({ children }: { children: ReactNode }) {
  const client = useQueryClient()
  const query = useQuery({
    queryKey: KEY,
    queryFn: () => told(api.GET('/api/session')),
    refetchInterval: 10 * 60_000,
  })
  const [asking, setAsking] = useState(false)
  const waiting = useRef<((name: string | null) => void)[]>([])
  const view = query.data

  useEffect(
    () =>
      onSessionEnd(() => {
        client.setQueryData(KEY, (known: SessionView | undefined) =>
          known?.required ? { ...known, right: null, name: null } : known,
        )
      }),
    [client],
  )

  const settle = useCallback((name: string | null) => {
    setAsking(false)
    for (const tell of waiting.current.splice(0)) tell(name)
  }, [])

  const session = useMemo<Session>(
    () => ({
      view,
      askName: () => {
        if (view?.name) return Promise.resolve(view.name)
        setAsking(true)
        return new Promise((tell) => waiting.current.push(tell))
      },
      rename: () => setAsking(true),
      leave: async () => {
        await told(api.DELETE('/api/session'))
        await client.resetQueries()
      },
    }),
    [view, client],
  )

  const stranger = view?.required === true && view.right === null
  // Nothing is asked for before it is known who asks; where the monitor does not answer, the pages say so.
  const unknown = query.isPending && query.failureCount === 0
  const entered = async (entered: SessionView) => {
    client.setQueryData(KEY, entered)
    if (stranger) await client.invalidateQueries()
    settle(entered.name)
  }
  return (
    <Context value={session}>
      {stranger || unknown ? null : children}
      <Dialog
        open={stranger || asking}
        needed={stranger}
        onClose={() => settle(null)}
        title={stranger ? 'This monitor asks who you are' : 'Your name'}
        description={
          stranger
            ? 'Its token is traded for a session of this browser, which lasts 12 hours after it was used last.'
            : 'Commands carry it, so that everybody sees who paused or stopped a run.'
        }
      >
        <SessionForm key={String(stranger)} withToken={stranger} name={view?.name ?? ''} onEntered={entered} />
      </Dialog>
    </Context>
  )
}

function SessionForm({
  withToken,
  name: known,
  onEntered,
}: {
  withToken: boolean
  name: string
  onEntered: (view: SessionView) => Promise<void>
}) {
  const [name, setName] = useState(known)
  const [token, setToken] = useState('')
  const [error, setError] = useState<string | null>(null)
  const [busy, setBusy] = useState(false)

  const enter = async (event: FormEvent) => {
    event.preventDefault()
    setBusy(true)
    setError(null)
    try {
      const headers = withToken ? { Authorization: `Bearer ${token}` } : undefined
      await onEntered(await told(api.POST('/api/session', { body: { name: name.trim() }, ...(headers && { headers }) })))
    } catch (problem) {
      const wrong = withToken && problem instanceof ApiError && problem.status === 401
      setError(wrong ? 'The monitor does not know this token. It is FEDFORGE_MONITOR_TOKEN of whoever started it; of the Compose stack, what `docker compose exec monitor cat /secrets/operator-token` says.' : String((problem as Error).message))
    } finally {
      setBusy(false)
    }
  }
  return (
    <form onSubmit={(event) => void enter(event)} className="flex flex-col gap-3">
      <label className="flex flex-col gap-1">
        <span className="font-medium">Name</span>
        <Input value={name} onChange={(event) => setName(event.target.value)} required maxLength={200} autoComplete="name" />
      </label>
      {withToken && (
        <label className="flex flex-col gap-1">
          <span className="font-medium">Token</span>
          <Input
            type="password"
            value={token}
            onChange={(event) => setToken(event.target.value)}
            required
            autoComplete="current-password"
          />
        </label>
      )}
      {error !== null && (
        <Notice tone="error" title="Not accepted" role="alert">
          {error}
        </Notice>
      )}
      <Button type="submit" variant="default" disabled={busy || name.trim() === ''} className="self-end">
        {withToken ? 'Enter' : 'Keep this name'}
      </Button>
    </form>
  )
}
