import { Dialog } from '@/components/ui/dialog'

const KEYS = [
  ['?', 'This sheet'],
  ['Tab, Enter', 'Through everything, and into it'],
  ['← →', 'On the time line: an event back or on'],
  ['Shift ← →', 'On the time line: a round back or on'],
  ['Space', 'On the time line: play, and halt'],
  ['Escape', 'Close what is open; on the time line: back to live'],
  ['/', 'On a run: search its events'],
] as const

export function ShortcutSheet({ open, onClose }: { open: boolean; onClose: () => void }) {
  return (
    <Dialog open={open} onClose={onClose} title="Keys">
      <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-2">
        {KEYS.map(([key, what]) => (
          <div key={key} className="contents">
            <dt>
              <kbd className="rounded border bg-muted px-1.5 py-0.5 font-mono text-xs">{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  )
}
