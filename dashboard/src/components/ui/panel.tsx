import { useId, type ReactNode } from 'react'
import { cn } from '@/lib/utils'

interface PanelProps {
  title: string
  /** Beside the title: filters, counts. */
  aside?: ReactNode
  children: ReactNode
  className?: string
  bodyClassName?: string
}

/** A part of a page with its heading. */
export function Panel({ title, aside, children, className, bodyClassName }: PanelProps) {
  const id = useId()
  return (
    <section aria-labelledby={id} className={cn('flex min-w-0 flex-col', className)}>
      <header className="flex min-h-9 flex-wrap items-center justify-between gap-x-3 gap-y-1 border-b px-3 py-1">
        <h2 id={id} className="text-sm font-semibold">
          {title}
        </h2>
        {aside}
      </header>
      <div className={cn('min-h-0 grow', bodyClassName)}>{children}</div>
    </section>
  )
}
