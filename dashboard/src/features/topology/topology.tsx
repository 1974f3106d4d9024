import { useDark } from '@/app/theme'
import { useSites } from '@/features/run/run-context'
import { CanvasGraph } from './canvas-graph'
import { CardGraph } from './card-graph'
import { FlowsContext, useFlowsOfRun } from './use-flows'

/** More sites than have room for cards are drawn as points; the table beside has the same for everybody. */
const MOST_CARDS = 60

/** The server and its sites, and what moves between them. */
export default function Topology({ selected, onSelect }: { selected: string | null; onSelect: (nodeId: string) => void }) {
  const sites = useSites()
  const dark = useDark()
  const flows = useFlowsOfRun()
  return (
    <FlowsContext value={flows}>
      {sites.length <= MOST_CARDS ? (
        <CardGraph sites={sites} selected={selected} onSelect={onSelect} dark={dark} />
      ) : (
        <CanvasGraph sites={sites} selected={selected} onSelect={onSelect} flows={flows} />
      )}
    </FlowsContext>
  )
}
