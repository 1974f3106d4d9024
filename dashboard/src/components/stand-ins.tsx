import { machine, type StandIn } from '@/stores/machine'

/** What of a run is not real, beside its scores: nothing where all of it is. */
export function StandIns({ of }: { of: readonly StandIn[] }) {
  if (of.length === 0) return null
  return (
    <span data-tone="paused" className="text-xs font-medium text-status" title="No score of it says anything of medicine.">
      {standInWords(of)}
    </span>
  )
}

export function standInWords(of: readonly StandIn[]): string {
  return of.map((each) => machine.stand_ins[each]).join(' · ')
}
