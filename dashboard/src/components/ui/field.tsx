import type { ComponentProps } from 'react'
import { cn } from '@/lib/utils'

const control =
  'h-8 min-w-0 rounded-md border border-input bg-card px-2 text-sm placeholder:text-muted-foreground disabled:opacity-60 aria-invalid:border-destructive'

export function Input({ className, ...props }: ComponentProps<'input'>) {
  return <input className={cn(control, className)} {...props} />
}

/** The browser's own: it works with keys, on telephones and for screen readers. */
export function Select({ className, ...props }: ComponentProps<'select'>) {
  return <select className={cn(control, 'truncate pr-1', className)} {...props} />
}
