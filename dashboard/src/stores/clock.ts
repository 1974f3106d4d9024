/** The monitor's clock, which orders everything: this machine's may be wrong. */
import { useSyncExternalStore } from 'react'

let offset = 0
let now = Date.now()
let timer: ReturnType<typeof setInterval> | undefined
const listeners = new Set<() => void>()

/** The monitor has said what time it is. */
export function setClock(moment: string): void {
  offset = Date.parse(moment) - Date.now()
}

export function serverNow(): number {
  return Date.now() + offset
}

/** A moment of this machine's clock on the monitor's. */
export function onServerClock(local: number): number {
  return local + offset
}

function tick(): void {
  now = serverNow()
  for (const listener of listeners) listener()
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener)
  timer ??= setInterval(tick, 1_000)
  return () => {
    listeners.delete(listener)
    if (listeners.size === 0) {
      clearInterval(timer)
      timer = undefined
    }
  }
}

/** The monitor's time, once a second: for ages and durations. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => (listeners.size === 0 ? (now = serverNow()) : now))
}
