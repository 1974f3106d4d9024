import { lazy, type ComponentType } from 'react'

const LONGEST_PAUSE_MS = 5_000

/** A part of the page that comes when it is needed; a monitor that is away meanwhile is asked again until it comes. */
export function patientLazy<P extends object>(load: () => Promise<{ default: ComponentType<P> }>) {
  return lazy(() => patiently(load))
}

async function patiently<T>(load: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await load()
    } catch {
      await new Promise((passed) => setTimeout(passed, Math.min(250 * 2 ** tries, LONGEST_PAUSE_MS)))
    }
  }
}
