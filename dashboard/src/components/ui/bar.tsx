import { cn } from '@/lib/utils'

/** How much of something is done. */
export function Bar({ value, max, label, className }: { value: number; max: number; label: string; className?: string }) {
  return (
    <progress
      value={value}
      max={max}
      aria-label={label}
      className={cn(
        'h-1.5 appearance-none overflow-hidden rounded-full bg-secondary [&::-moz-progress-bar]:bg-primary [&::-webkit-progress-bar]:bg-secondary [&::-webkit-progress-value]:bg-primary',
        className,
      )}
    />
  )
}
