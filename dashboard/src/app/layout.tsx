import { Suspense, useEffect, useState } from 'react'
import { Link, NavLink, Outlet, useMatch } from 'react-router'
import { Keyboard, Moon, Sun, User } from 'lucide-react'
import { ConnectionPill } from '@/components/connection-pill'
import { Button } from '@/components/ui/button'
import { Loading } from '@/components/ui/notice'
import { NotifyButton } from '@/features/notices/notify'
import { useSession } from '@/features/session/session'
import { isUtc, onUtc, setUtc } from '@/lib/format'
import { cn } from '@/lib/utils'
import { useRunsConnection, useRunsStream } from '@/stores/runs'
import { ErrorBoundary } from './error-boundary'
import { ShortcutSheet } from './shortcut-sheet'
import { setTheme, useDark } from './theme'

const PAGES = [
  ['/', 'Overview'],
  ['/sites', 'Sites'],
  ['/compare', 'Compare'],
  ['/start', 'Start a run'],
] as const

export function Layout() {
  useRunsStream(true)
  const onRun = useMatch('/runs/:runId') !== null
  const [sheet, setSheet] = useState(false)
  const [, redraw] = useState(0)
  useEffect(() => onUtc(() => redraw((n) => n + 1)), [])
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const typing = event.target instanceof HTMLElement && event.target.matches('input, textarea, select')
      if (event.key === '?' && !typing) setSheet(true)
    }
    window.addEventListener('keydown', press)
    return () => window.removeEventListener('keydown', press)
  }, [])
  return (
    <div className="flex min-h-full flex-col">
      <a href="#main" className="sr-only focus:not-sr-only focus:absolute focus:z-50 focus:bg-card focus:p-2">
        To the content
      </a>
      <header className="flex min-h-11 flex-wrap items-center gap-x-4 gap-y-1 border-b bg-card px-3 sm:px-4">
        <Link to="/" className="flex items-center gap-2 font-semibold">
          <img src="/favicon.svg" alt="" className="size-4" />
          FedForge
        </Link>
        <nav aria-label="Pages" className="order-last flex w-full gap-1 overflow-x-auto sm:order-none sm:w-auto">
          {PAGES.map(([path, name]) => (
            <NavLink
              key={path}
              to={path}
              end
              className={({ isActive }) =>
                cn('rounded-md px-2 py-1 whitespace-nowrap hover:bg-accent', isActive ? 'bg-accent font-medium' : 'text-muted-foreground')
              }
            >
              {name}
            </NavLink>
          ))}
        </nav>
        <div className="ml-auto flex items-center gap-1">
          {!onRun && <RunsConnection />}
          <Person />
          <NotifyButton />
          <UtcButton />
          <Button variant="ghost" size="icon" aria-label="Keys" title="Keys (?)" onClick={() => setSheet(true)} className="max-sm:hidden">
            <Keyboard aria-hidden />
          </Button>
          <ThemeButton />
        </div>
      </header>
      <main id="main" tabIndex={-1} className="flex min-h-0 grow flex-col outline-none">
        <ErrorBoundary>
          <Suspense key={isUtc() ? 'utc' : 'local'} fallback={<Loading what="The page comes" />}>
            <Outlet />
          </Suspense>
        </ErrorBoundary>
      </main>
      <ShortcutSheet open={sheet} onClose={() => setSheet(false)} />
    </div>
  )
}

function RunsConnection() {
  return <ConnectionPill connection={useRunsConnection((state) => state.connection)} />
}

function Person() {
  const { view, rename, leave } = useSession()
  if (view === undefined) return null
  return (
    <>
      <Button variant="ghost" size="sm" onClick={rename} title="The name that commands carry">
        <User aria-hidden />
        <span className="max-w-32 truncate max-md:sr-only">{view.name ?? 'Your name'}</span>
      </Button>
      {view.required && (
        <Button variant="ghost" size="sm" onClick={() => void leave()}>
          Leave
        </Button>
      )}
    </>
  )
}

function UtcButton() {
  const utc = isUtc()
  return (
    <Button variant="ghost" size="sm" aria-pressed={utc} onClick={() => setUtc(!utc)} title="Times in UTC, or of this machine" className="max-sm:hidden">
      {utc ? 'UTC' : 'Local time'}
    </Button>
  )
}

function ThemeButton() {
  const dark = useDark()
  return (
    <Button
      variant="ghost"
      size="icon"
      aria-label={dark ? 'Light colours' : 'Dark colours'}
      title={dark ? 'Light colours' : 'Dark colours'}
      onClick={() => setTheme(dark ? 'light' : 'dark')}
    >
      {dark ? <Sun aria-hidden /> : <Moon aria-hidden />}
    </Button>
  )
}
