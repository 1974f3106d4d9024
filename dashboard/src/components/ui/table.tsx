import type { ComponentProps } from 'react'
import { cn } from '@/lib/utils'

/** A dense table that scrolls in itself where it is too wide. */
export function Table({ className, label, ...props }: ComponentProps<'table'> & { label: string }) {
  return (
    <div className="relative w-full overflow-x-auto" tabIndex={0} role="region" aria-label={`${label}, as a table`}>
      <table aria-label={label} className={cn('w-full border-collapse text-sm', className)} {...props} />
    </div>
  )
}

export function Th({ className, ...props }: ComponentProps<'th'>) {
  return (
    <th
      scope="col"
      className={cn('h-8 border-b px-3 text-left text-xs font-medium whitespace-nowrap text-muted-foreground', className)}
      {...props}
    />
  )
}

export function Td({ className, ...props }: ComponentProps<'td'>) {
  return <td className={cn('h-9 border-b px-3 align-middle', className)} {...props} />
}

export function Tr({ className, ...props }: ComponentProps<'tr'>) {
  return <tr className={cn('hover:bg-accent/50', className)} {...props} />
}
