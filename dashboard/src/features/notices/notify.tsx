import { Bell, BellOff } from 'lucide-react'
import { useEffect, useState } from 'react'
import { toast } from 'sonner'
import type { RunView } from '@/api/schema'
import { Button } from '@/components/ui/button'
import { onRunChange } from '@/stores/runs'

const WISHED = 'fedforge-notices'

/** Tells of what needs somebody, or has ended, while the page is not looked at: where that is wished. */
export function NotifyButton() {
  const [wished, setWished] = useState(() => isWished())
  useEffect(() => {
    if (!wished) return
    const known = new Map<string, string>()
    return onRunChange((run) => {
      const before = known.get(run.run_id)
      const word = run.stalled ? 'stalled' : run.state
      known.set(run.run_id, word)
      if (before === undefined || before === word || !document.hidden) return
      const text = noticeOf(word, run)
      if (text !== null) new Notification(`FedForge: ${run.run_id}`, { body: text, tag: run.run_id })
    })
  }, [wished])
  if (!('Notification' in window)) return null
  const turn = async () => {
    if (!wished && (await Notification.requestPermission()) !== 'granted') {
      toast.error('The browser does not allow notifications of this page. Its settings of this site can.')
      return
    }
    keep(!wished)
    setWished(!wished)
  }
  const title = wished ? 'No notifications' : 'Notify me when a run ends, pauses or needs somebody'
  return (
    <Button variant="ghost" size="icon" aria-label={title} title={title} aria-pressed={wished} onClick={() => void turn()} className="max-sm:hidden">
      {wished ? <Bell aria-hidden /> : <BellOff aria-hidden />}
    </Button>
  )
}

/** What is worth a notice; `null` of the rest. */
export function noticeOf(word: string, run: RunView): string | null {
  switch (word) {
    case 'completed':
      return `It is completed after ${run.round} rounds.`
    case 'failed':
      return `It has failed: ${run.reason ?? 'it has not said why'}`
    case 'stopped':
      return `It has ended: ${run.reason ?? 'stopped, and nobody said why'}`
    case 'lost':
      return 'Nothing is heard of it any more.'
    case 'stalled':
      return `It stalls at ${run.activity ?? 'nothing known'}, in round ${run.round}.`
    case 'paused':
      return `It is paused at round ${run.round}.`
    default:
      return null
  }
}

function isWished(): boolean {
  try {
    return localStorage.getItem(WISHED) === '1' && 'Notification' in window && Notification.permission === 'granted'
  } catch {
    return false
  }
}

function keep(wished: boolean): void {
  try {
    localStorage.setItem(WISHED, wished ? '1' : '0')
  } catch {
    // a browser that keeps nothing is asked again
  }
}
