import type { ReactNode } from 'react'
import { cn } from '@/lib/utils'
import { Button } from './button'

/** What is to be read before the rest, with a shape and a word. */
export function Notice({
  tone,
  title,
  children,
  className,
  role,
}: {
  tone: 'info' | 'warning' | 'error'
  title: string
  children?: ReactNode
  className?: string
  role?: 'alert' | 'status'
}) {
  return (
    <div
      role={role}
      data-tone={tone === 'error' ? 'failed' : tone === 'warning' ? 'paused' : 'running'}
      className={cn('flex gap-2 border-l-2 border-status bg-status/8 px-3 py-2 text-sm', className)}
    >
      <div className="min-w-0">
        <p className="font-medium">{title}</p>
        {children != null && <div className="text-muted-foreground [&_code]:text-foreground">{children}</div>}
      </div>
    </div>
  )
}

/** Nothing is here, and what would bring something. */
export function Empty({ title, children, className }: { title: string; children?: ReactNode; className?: string }) {
  return (
    <div className={cn('flex flex-col items-center justify-center gap-2 px-4 py-8 text-center', className)}>
      <p className="font-medium">{title}</p>
      {children != null && <div className="max-w-prose text-muted-foreground">{children}</div>}
    </div>
  )
}

export function Loading({ what, className }: { what: string; className?: string }) {
  return (
    <p role="status" className={cn('px-3 py-6 text-center text-muted-foreground', className)}>
      {what} …
    </p>
  )
}

/** Why something is not shown, and what can be done: the monitor's own words. */
export function Failed({ error, retry, className }: { error: Error; retry?: () => void; className?: string }) {
  return (
    <div role="alert" className={cn('flex flex-col items-start gap-2 px-3 py-4', className)}>
      <p className="font-medium">This cannot be shown.</p>
      <p className="text-muted-foreground">{error.message}</p>
      {retry !== undefined && (
        <Button size="sm" onClick={retry}>
          Try again
        </Button>
      )}
    </div>
  )
}

/** A command to type, which can be copied. */
export function Command({ children }: { children: string }) {
  return (
    <span className="inline-flex max-w-full items-center gap-2 rounded-md border bg-muted py-1 pr-1 pl-2 text-left">
      <code className="min-w-0 overflow-x-auto font-mono text-xs text-foreground">{children}</code>
      <Button size="sm" variant="ghost" className="h-6" onClick={() => void navigator.clipboard?.writeText(children)}>
        Copy
      </Button>
    </span>
  )
}
