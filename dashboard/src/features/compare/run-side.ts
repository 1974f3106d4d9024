import type { EventOf } from '@/api/client'
import type { RunView, Series } from '@/api/schema'
import type { Described } from './differences'
import type { SiteEvaluated } from './sites'

/** One of the two runs: what it is made of and what it gave, as far as it is told. */
export interface RunSide {
  run: RunView
  series: Series
  described: Described | undefined
  evaluated: EventOf<'run_evaluated'> | undefined
  sites: SiteEvaluated[]
}
