import { useEffect, useRef } from 'react'
import { useRun } from '@/features/run/run-context'
import { serverNow } from '@/stores/clock'
import { phaseAt, type Flows, type Phase } from '@/stores/flows'
import { conditionOf } from '@/stores/reducer'
import { nodeName } from '@/lib/format'
import { toneOfCondition, type Tone } from '@/lib/tone'
import { gridOf } from './layout'

interface Props {
  sites: readonly string[]
  selected: string | null
  onSelect: (nodeId: string) => void
  flows: Flows
}

const MARGIN = 12
const HEAD = 44
const CELL_ASPECT = 2.5
const LEAST_BETWEEN_MS = 66
const NAMED_ACROSS = 62
const NAMED_DOWN = 20

/** Hundreds of sites as points of a grid, with lines to the server where something moves. */
export function CanvasGraph({ sites, selected, onSelect, flows }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const { travel } = useRun()

  useEffect(() => {
    const element = canvas.current!
    const context = element.getContext('2d')
    if (context === null) return
    let frame: number | undefined
    let drawn = 0
    const draw = (time: number) => {
      frame = undefined
      if (time - drawn < LEAST_BETWEEN_MS) return ask()
      drawn = time
      paint(context, element, sites, selected, lookOf, flowing)
    }
    const flowing = (node: string): Phase => {
      const { at, folded } = travel.shown.getState()
      return at === null ? flows.phase(node) : phaseAt(folded?.nodes.get(node)?.type, node)
    }
    const lookOf = (site: string): { tone: Tone; phase: Phase } => {
      const { moment, folded } = travel.shown.getState()
      const node = folded?.nodes.get(site)
      return { phase: flowing(site), tone: node === undefined ? 'idle' : toneOfCondition(conditionOf(node, moment ?? serverNow())) }
    }
    const ask = () => {
      frame ??= requestAnimationFrame(draw)
    }
    ask()
    const ends = [flows.subscribe(ask), travel.shown.subscribe(ask)]
    const observer = new ResizeObserver(ask)
    observer.observe(element)
    return () => {
      for (const end of ends) end()
      observer.disconnect()
      if (frame !== undefined) cancelAnimationFrame(frame)
    }
  }, [sites, selected, flows, travel])

  const siteAt = (event: React.MouseEvent) => {
    const box = canvas.current!.getBoundingClientRect()
    return hit(event.clientX - box.left, event.clientY - box.top, box.width, box.height, sites)
  }
  return (
    // The table of sites beside it has everything for keys and screen readers.
    // oxlint-disable-next-line jsx-a11y/click-events-have-key-events, jsx-a11y/no-noninteractive-element-interactions
    <canvas
      ref={canvas}
      role="img"
      aria-label={`${sites.length} sites; the tab Sites has them as a table`}
      className="h-full w-full"
      onClick={(event) => {
        const site = siteAt(event)
        if (site !== undefined) onSelect(site)
      }}
      onMouseMove={(event) => {
        const site = siteAt(event)
        canvas.current!.title = site === undefined ? '' : nodeName(site)
      }}
    />
  )
}

function cells(width: number, height: number, count: number) {
  const inner = { width: width - 2 * MARGIN, height: height - HEAD - MARGIN }
  const { columns, rows } = gridOf(count, inner.width / Math.max(1, inner.height) / CELL_ASPECT)
  return { columns, across: inner.width / columns, down: inner.height / rows }
}

function hit(x: number, y: number, width: number, height: number, sites: readonly string[]): string | undefined {
  const { columns, across, down } = cells(width, height, sites.length)
  const column = Math.floor((x - MARGIN) / across)
  const row = Math.floor((y - HEAD) / down)
  if (column < 0 || column >= columns || row < 0) return undefined
  return sites[row * columns + column]
}

function paint(
  context: CanvasRenderingContext2D,
  element: HTMLCanvasElement,
  sites: readonly string[],
  selected: string | null,
  lookOf: (site: string) => { tone: Tone; phase: Phase },
  flowing: (node: string) => Phase,
): void {
  const { clientWidth: width, clientHeight: height } = element
  const scale = window.devicePixelRatio
  if (element.width !== Math.round(width * scale) || element.height !== Math.round(height * scale)) {
    element.width = Math.round(width * scale)
    element.height = Math.round(height * scale)
  }
  const style = getComputedStyle(element)
  const colours = new Map<Tone, string>()
  const colour = (tone: Tone) => {
    let known = colours.get(tone)
    if (known === undefined) colours.set(tone, (known = style.getPropertyValue(`--status-${tone}`).trim()))
    return known
  }
  context.setTransform(scale, 0, 0, scale, 0, 0)
  context.clearRect(0, 0, width, height)
  const { columns, across, down } = cells(width, height, sites.length)
  const named = across >= NAMED_ACROSS && down >= NAMED_DOWN
  const radius = named ? 4.5 : Math.max(2, Math.min(across, down) * 0.32)
  const middle = { x: width / 2, y: HEAD / 2 }
  const joining = flowing('server') === 'aggregate'
  context.lineWidth = 1
  const moving = new Map<Tone, Path2D>()
  const points = new Map<Tone, Path2D>()
  const names: [string, number, number][] = []
  sites.forEach((site, place) => {
    const { tone, phase } = lookOf(site)
    const left = MARGIN + (place % columns) * across
    const x = named ? left + 10 : left + 0.5 * across
    const y = HEAD + (Math.floor(place / columns) + 0.5) * down
    const lit: Tone = phase === 'dispatch' ? 'waiting' : phase === 'upload' ? 'answering' : phase === 'work' ? 'running' : tone
    if (joining || phase === 'dispatch' || phase === 'upload') {
      const along: Tone = joining ? 'answering' : lit
      const path = moving.get(along) ?? new Path2D()
      path.moveTo(middle.x, middle.y)
      path.lineTo(x, y)
      moving.set(along, path)
    }
    const path = points.get(lit) ?? new Path2D()
    path.moveTo(x + radius, y)
    // Failed and lost sites are squares: a shape besides the colour.
    if (lit === 'failed' || lit === 'lost') path.rect(x - radius, y - radius, 2 * radius, 2 * radius)
    else path.arc(x, y, radius, 0, 2 * Math.PI)
    points.set(lit, path)
    if (named) names.push([nodeName(site), x + 9, y])
    if (site === selected) {
      context.strokeStyle = style.getPropertyValue('--ring').trim()
      context.strokeRect(x - radius - 2, y - radius - 2, 2 * radius + 4, 2 * radius + 4)
    }
  })
  context.globalAlpha = 0.25
  for (const [tone, path] of moving) {
    context.strokeStyle = colour(tone)
    context.stroke(path)
  }
  context.globalAlpha = 1
  for (const [tone, path] of points) {
    context.fillStyle = colour(tone)
    context.fill(path)
  }
  context.fillStyle = style.getPropertyValue('--foreground').trim()
  context.textBaseline = 'middle'
  context.textAlign = 'left'
  context.font = `12px ${style.fontFamily}`
  for (const [name, x, y] of names) context.fillText(name, x, y)
  context.textAlign = 'center'
  context.font = `600 13px ${style.fontFamily}`
  const said = `Server${joining ? ' combines the answers' : ''} · ${sites.length} sites`
  const space = context.measureText(said).width / 2 + 8
  context.fillStyle = style.getPropertyValue('--background').trim()
  context.fillRect(middle.x - space, middle.y - 10, 2 * space, 20)
  context.fillStyle = style.getPropertyValue('--foreground').trim()
  context.fillText(said, middle.x, middle.y)
}
