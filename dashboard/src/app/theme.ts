/** Light, dark, or as the system has it. */
import { useSyncExternalStore } from 'react'

export type Theme = 'system' | 'light' | 'dark'

const NAME = 'fedforge-theme'
const system = window.matchMedia('(prefers-color-scheme: dark)')
const listeners = new Set<() => void>()

export function theme(): Theme {
  try {
    const kept = localStorage.getItem(NAME)
    return kept === 'light' || kept === 'dark' ? kept : 'system'
  } catch {
    return 'system'
  }
}

export function setTheme(wished: Theme): void {
  try {
    localStorage.setItem(NAME, wished)
  } catch {
    // a browser that keeps nothing goes with the system
  }
  apply()
}

function isDark(): boolean {
  const wished = theme()
  return wished === 'dark' || (wished === 'system' && system.matches)
}

function apply(): void {
  document.documentElement.classList.toggle('dark', isDark())
  for (const listener of listeners) listener()
}

export function startTheme(): void {
  system.addEventListener('change', apply)
  apply()
}

export function useDark(): boolean {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    () => document.documentElement.classList.contains('dark'),
  )
}
