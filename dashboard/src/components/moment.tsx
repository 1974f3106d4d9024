import { age, moment } from '@/lib/format'
import { useNow } from '@/stores/clock'

/** How long ago something was; when exactly, on demand. */
export function Ago({ at }: { at: string | number }) {
  const now = useNow()
  const past = (now - (typeof at === 'number' ? at : Date.parse(at))) / 1000
  return (
    <time dateTime={new Date(at).toISOString()} title={moment(at)} className="whitespace-nowrap">
      {age(past)}
    </time>
  )
}
