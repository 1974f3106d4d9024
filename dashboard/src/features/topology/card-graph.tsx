import '@xyflow/react/dist/base.css'
import {
  BaseEdge,
  Controls,
  Handle,
  Position,
  ReactFlow,
  ReactFlowProvider,
  useReactFlow,
  useStore,
  type Edge,
  type EdgeProps,
  type Node,
  type NodeProps,
} from '@xyflow/react'
import { memo, useEffect, useMemo } from 'react'
import { StatusShape } from '@/components/ui/status'
import { useCondition, useNode, useShown } from '@/features/run/run-context'
import { bytes, duration, nodeName, percent } from '@/lib/format'
import { toneOfCondition, toneOfState, type Tone } from '@/lib/tone'
import { cn } from '@/lib/utils'
import { useReducedMotion } from '@/lib/reduced-motion'
import type { Phase } from '@/stores/flows'
import { latestValue } from '@/stores/series'
import { placesOf } from './layout'
import { usePhase } from './use-flows'

const FULL = { width: 172, height: 50 }
const COMPACT = { width: 84, height: 26 }
const SERVER = { width: 190, height: 62 }
const MOST_FULL = 30

interface Props {
  sites: readonly string[]
  selected: string | null
  onSelect: (nodeId: string) => void
  dark: boolean
}

export function CardGraph(props: Props) {
  return (
    <ReactFlowProvider>
      <Graph {...props} />
    </ReactFlowProvider>
  )
}

const nodeTypes = { server: memo(ServerNode), full: memo(FullSite), compact: memo(CompactSite) }
const edgeTypes = { flow: memo(FlowEdge) }
const fit = { padding: 0.08, maxZoom: 1.15 }

function Graph({ sites, selected, onSelect, dark }: Props) {
  // It depends on who is there and on nothing else: each node reads its own part of the store.
  const { nodes, edges } = useMemo(() => {
    const compact = sites.length > MOST_FULL
    const size = compact ? COMPACT : FULL
    const places = placesOf(sites.length, size.width, size.height)
    const server: Node = {
      id: 'server',
      type: 'server',
      ...SERVER,
      position: { x: -SERVER.width / 2, y: -SERVER.height / 2 },
      data: {},
      ariaLabel: 'Server',
    }
    const around = sites.map((site, place): Node => ({
      id: site,
      type: compact ? 'compact' : 'full',
      ...size,
      position: { x: places[place]!.x - size.width / 2, y: places[place]!.y - size.height / 2 },
      data: {},
      ariaLabel: nodeName(site),
    }))
    const lines = sites.map((site): Edge => ({ id: site, source: 'server', target: site, type: 'flow', focusable: false }))
    return { nodes: [server, ...around], edges: lines }
  }, [sites])
  const shown = useMemo(() => nodes.map((node) => ({ ...node, selected: node.id === selected })), [nodes, selected])
  return (
    <ReactFlow
      nodes={shown}
      edges={edges}
      nodeTypes={nodeTypes}
      edgeTypes={edgeTypes}
      fitView
      fitViewOptions={fit}
      nodesDraggable={false}
      nodesConnectable={false}
      elementsSelectable
      onNodeClick={(_, node) => onSelect(node.id)}
      onKeyDown={(event) => {
        const id = (event.target as HTMLElement).closest('.react-flow__node')?.getAttribute('data-id')
        if (id != null && (event.key === 'Enter' || event.key === ' ')) onSelect(id)
      }}
      minZoom={0.1}
      preventScrolling={false}
      zoomOnScroll={false}
      colorMode={dark ? 'dark' : 'light'}
      aria-label="Server and sites; the tab Sites has the same as a table"
    >
      <Refit count={sites.length} />
      <Controls showInteractive={false} position="bottom-left" />
    </ReactFlow>
  )
}

/** `fitView` fits what is there at first alone. */
function Refit({ count }: { count: number }) {
  const flow = useReactFlow()
  useEffect(() => {
    const refit = () => void flow.fitView(fit)
    const frame = requestAnimationFrame(refit)
    window.addEventListener('resize', refit)
    return () => {
      cancelAnimationFrame(frame)
      window.removeEventListener('resize', refit)
    }
  }, [count, flow])
  return null
}

const PHASE_WORDS: Record<Phase, string> = {
  idle: '',
  dispatch: 'is being asked',
  work: 'works',
  upload: 'answers',
  aggregate: 'combines',
  failed: 'failed',
}

function ServerNode({ selected }: NodeProps) {
  const run = useShown((shown) => shown.folded?.run)
  const phase = usePhase('server')
  const tone: Tone = run === undefined ? 'waiting' : toneOfState(run.control.state)
  return (
    <div
      data-tone={phase === 'aggregate' ? 'answering' : tone}
      className={cn(
        'flex h-full w-full flex-col justify-center rounded-lg border-2 border-status bg-card px-3',
        selected && 'ring-2 ring-ring',
      )}
    >
      <p className="flex items-center gap-1.5 font-semibold">
        <StatusShape tone={phase === 'aggregate' ? 'answering' : tone} /> Server
      </p>
      <p className="truncate text-xs text-muted-foreground">
        {phase === 'aggregate' ? 'combines the answers' : (run?.activity ?? run?.control.state ?? '')}
        {run !== undefined && run.round > 0 ? ` · round ${run.round}` : ''}
      </p>
      <Handle type="source" position={Position.Top} className="invisible !top-1/2" />
    </div>
  )
}

function useSite(id: string) {
  const node = useNode(id)
  const condition = useCondition(node)
  const phase = usePhase(id)
  const tone = phase === 'idle' || phase === 'aggregate' ? toneOfCondition(condition) : TONES[phase]
  const word = phase === 'idle' || phase === 'aggregate' ? condition : PHASE_WORDS[phase]
  return { node, tone, word }
}

const TONES: Record<Exclude<Phase, 'idle' | 'aggregate'>, Tone> = {
  dispatch: 'waiting',
  work: 'running',
  upload: 'answering',
  failed: 'failed',
}

function FullSite({ id, selected }: NodeProps) {
  const { node, tone, word } = useSite(id)
  const accuracy = useShown((shown) => latestValue(shown.course.sites.get(id), 'accuracy'))
  return (
    <div
      data-tone={tone}
      title={messageOf(node)}
      className={cn('flex h-full w-full flex-col justify-center rounded-md border border-status/60 bg-card px-2.5', selected && 'ring-2 ring-ring')}
    >
      <p className="flex items-center gap-1.5">
        <StatusShape tone={tone} />
        <span className="truncate font-medium">{nodeName(id)}</span>
        <span className="ml-auto">{accuracy === null ? '' : percent(accuracy)}</span>
      </p>
      <p className="truncate text-xs text-muted-foreground">
        {word}
        {node?.payloadBytes == null ? '' : ` · ${bytes(node.payloadBytes)}`}
      </p>
      <Handle type="target" position={Position.Top} className="invisible !top-1/2" />
    </div>
  )
}

function CompactSite({ id, selected }: NodeProps) {
  const { node, tone, word } = useSite(id)
  return (
    <div
      data-tone={tone}
      title={`${word}. ${messageOf(node)}`}
      className={cn('flex h-full w-full items-center gap-1 rounded border border-status/60 bg-card px-1.5 text-xs', selected && 'ring-2 ring-ring')}
    >
      <StatusShape tone={tone} className="size-2.5" />
      <span className="truncate">{nodeName(id)}</span>
      <Handle type="target" position={Position.Top} className="invisible !top-1/2" />
    </div>
  )
}

function messageOf(node: ReturnType<typeof useNode>): string {
  if (node === undefined) return ''
  const size = node.payloadBytes === null ? '' : `, ${bytes(node.payloadBytes)}`
  const took = node.latencyMs === null ? '' : `, ${duration(node.latencyMs / 1000)}`
  return `Last: ${node.type.replace(/_/g, ' ')}${size}${took}`
}

/** A line as wide as what went over it last; along it goes what really goes. */
function FlowEdge({ id, target, sourceX, sourceY, targetX, targetY }: EdgeProps) {
  const phase = usePhase(target)
  const server = usePhase('server')
  const round = useShown((shown) => shown.folded?.nodes.get(target)?.round)
  const current = useShown((shown) => shown.folded?.run.round)
  const payload = useShown((shown) => shown.folded?.nodes.get(target)?.payloadBytes)
  const still = useReducedMotion()
  const joining = server === 'aggregate' && round === current && phase !== 'failed'
  const shown: Phase = joining ? 'aggregate' : phase
  const out = `M${sourceX},${sourceY} L${targetX},${targetY}`
  const back = `M${targetX},${targetY} L${sourceX},${sourceY}`
  const few = useStore((state) => state.nodes.length <= MOST_FULL + 1)
  const moving = few && (shown === 'dispatch' || shown === 'upload' || shown === 'aggregate')
  const tone: Tone = shown === 'idle' ? 'idle' : shown === 'aggregate' ? 'answering' : TONES[shown]
  const width = 1 + Math.min(3, Math.log10(1 + (payload ?? 0) / 1000) / 1.5)
  return (
    <g data-tone={tone} data-phase={shown}>
      <BaseEdge
        id={id}
        path={out}
        style={{
          stroke: shown === 'idle' ? 'var(--border)' : 'var(--status)',
          strokeWidth: shown === 'idle' ? Math.max(1, width * 0.7) : width,
          strokeDasharray: shown === 'failed' ? '2 5' : undefined,
        }}
      />
      {moving && !still && (
        <circle key={shown} r={shown === 'aggregate' ? 3 : 4} fill="var(--status)">
          <animateMotion dur={shown === 'aggregate' ? '0.4s' : '0.8s'} repeatCount="indefinite" path={shown === 'dispatch' ? out : back} />
        </circle>
      )}
    </g>
  )
}
