import { cva, type VariantProps } from 'class-variance-authority'
import { Slot } from 'radix-ui'
import type { ComponentProps } from 'react'
import { cn } from '@/lib/utils'

const buttonVariants = cva(
  'inline-flex shrink-0 items-center justify-center gap-1.5 rounded-md text-sm font-medium whitespace-nowrap transition-colors duration-150 disabled:opacity-50 aria-disabled:opacity-50 aria-disabled:cursor-not-allowed [&_svg]:size-4 [&_svg]:shrink-0',
  {
    variants: {
      variant: {
        default: 'bg-primary text-primary-foreground hover:bg-primary/90 aria-disabled:hover:bg-primary',
        outline: 'border border-input bg-card hover:bg-accent aria-disabled:hover:bg-card',
        ghost: 'hover:bg-accent',
        destructive: 'border border-destructive/60 text-destructive hover:bg-destructive/10',
        link: 'h-auto p-0 text-primary underline-offset-4 hover:underline',
      },
      size: { default: 'h-8 px-3', sm: 'h-7 px-2 text-xs', icon: 'size-8' },
    },
    defaultVariants: { variant: 'outline', size: 'default' },
  },
)

export interface ButtonProps extends ComponentProps<'button'>, VariantProps<typeof buttonVariants> {
  asChild?: boolean
}

export function Button({ className, variant, size, asChild = false, type = 'button', ...props }: ButtonProps) {
  const Element = asChild ? Slot.Root : 'button'
  return <Element type={asChild ? undefined : type} className={cn(buttonVariants({ variant, size }), className)} {...props} />
}
