import { Dialog as Primitive } from 'radix-ui'
import { X } from 'lucide-react'
import type { ReactNode } from 'react'
import { cn } from '@/lib/utils'
import { Button } from './button'

interface DialogProps {
  open: boolean
  onClose: () => void
  title: string
  description?: string | undefined
  children: ReactNode
  className?: string
  /** From the side, and the page stays usable beside it. */
  side?: boolean
  /** Cannot be closed: what it asks for is needed. */
  needed?: boolean
  /** What it lies over, where that is not the whole window. */
  container?: HTMLElement | null
}

export function Dialog({ open, onClose, title, description, children, className, side = false, needed = false, container }: DialogProps) {
  return (
    <Primitive.Root open={open} onOpenChange={(now) => !now && !needed && onClose()} modal={!side}>
      <Primitive.Portal container={container}>
        {!side && <Primitive.Overlay className="fixed inset-0 z-40 bg-black/45" />}
        <Primitive.Content
          {...(description === undefined ? { 'aria-describedby': undefined } : {})}
          onInteractOutside={(event) => event.preventDefault()}
          className={cn(
            'z-50 flex flex-col border bg-popover text-popover-foreground shadow-lg',
            side
              ? cn('inset-y-0 right-0 w-full border-y-0 border-r-0', container == null ? 'fixed max-w-md' : 'absolute max-w-[44%]')
              : 'fixed top-1/2 left-1/2 max-h-[90vh] w-[min(92vw,30rem)] -translate-x-1/2 -translate-y-1/2 rounded-lg',
            className,
          )}
        >
          <header className="flex items-start justify-between gap-3 border-b px-4 py-3">
            <div>
              <Primitive.Title className="text-base font-semibold">{title}</Primitive.Title>
              {description !== undefined && (
                <Primitive.Description className="mt-1 text-muted-foreground">{description}</Primitive.Description>
              )}
            </div>
            {!needed && (
              <Primitive.Close asChild>
                <Button variant="ghost" size="icon" aria-label="Close" className="-my-1 -mr-2">
                  <X aria-hidden />
                </Button>
              </Primitive.Close>
            )}
          </header>
          <div tabIndex={0} role="region" aria-label="Content" className="min-h-0 grow overflow-y-auto px-4 py-3">
            {children}
          </div>
        </Primitive.Content>
      </Primitive.Portal>
    </Primitive.Root>
  )
}
