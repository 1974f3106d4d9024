import { useSyncExternalStore } from 'react'

const query = window.matchMedia('(min-width: 1024px)')

/** Whether there is room for the picture beside the rest. */
export function useWide(): boolean {
  return useSyncExternalStore(
    (listener) => {
      query.addEventListener('change', listener)
      return () => query.removeEventListener('change', listener)
    },
    () => query.matches,
  )
}
