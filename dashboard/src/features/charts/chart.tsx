import {
  Area,
  CartesianGrid,
  ComposedChart,
  Line as Curve,
  ReferenceLine,
  ResponsiveContainer,
  Tooltip,
  XAxis,
  YAxis,
} from 'recharts'
import { nodeName } from '@/lib/format'
import type { Mark } from '@/stores/timeline'
import type { Point } from './points'

export interface Line {
  readonly value: number
  readonly label: string
}

export interface ChartMark extends Mark {
  readonly round: number
}

interface Props {
  points: readonly Point[]
  lines: readonly string[]
  selected: string | null
  bounds: readonly Line[]
  marks: readonly ChartMark[]
  domain: [number, number]
  format: (value: number) => string
  onSelectRound: (round: number) => void
}

const MARK_COLOURS: Record<Mark['kind'], string> = {
  pause: 'var(--status-paused)',
  resume: 'var(--status-running)',
  attempt: 'var(--status-running)',
  drop: 'var(--status-failed)',
  end: 'var(--status-idle)',
}
const TICK = { fill: 'var(--muted-foreground)', fontSize: 11 }

/** One metric over the global rounds. A line goes from point to point, and nothing between them is made up. */
export default function Chart({ points, lines, selected, bounds, marks, domain, format, onSelectRound }: Props) {
  return (
    <div className="h-36">
      <ResponsiveContainer width="100%" height="100%" initialDimension={{ width: 400, height: 144 }}>
        <ComposedChart
          data={points as Point[]}
          syncId="rounds"
          margin={{ top: 6, right: 8, bottom: 0, left: 0 }}
          accessibilityLayer={false}
          onClick={({ activeLabel }) => activeLabel !== undefined && onSelectRound(Number(activeLabel))}
        >
          <CartesianGrid stroke="var(--border)" vertical={false} />
          <XAxis dataKey="round" type="number" domain={['dataMin', 'dataMax']} allowDecimals={false} tick={TICK} stroke="var(--border)" height={20} />
          <YAxis domain={domain} tick={TICK} stroke="var(--border)" width={62} tickFormatter={format} tickCount={4} allowDataOverflow />
          <Tooltip
            isAnimationActive={false}
            content={({ active, payload }) => {
              const point = payload?.[0]?.payload as Point | undefined
              return active && point !== undefined ? <Values point={point} format={format} /> : null
            }}
          />
          <Area dataKey="band" type="linear" stroke="none" fill="var(--series-1)" fillOpacity={0.16} isAnimationActive={false} />
          {bounds.map(({ value, label }) => (
            <ReferenceLine
              key={label}
              y={value}
              stroke="var(--muted-foreground)"
              strokeDasharray="4 4"
              label={{ value: label, position: 'insideBottomRight', fontSize: 10, fill: 'var(--muted-foreground)' }}
            />
          ))}
          {marks.map((mark) => (
            <ReferenceLine
              key={`${mark.kind} ${mark.round}`}
              x={mark.round}
              stroke={MARK_COLOURS[mark.kind]}
              strokeDasharray="2 3"
              label={{ value: mark.label, position: 'insideTopLeft', fontSize: 10, fill: MARK_COLOURS[mark.kind] }}
            />
          ))}
          {lines.map((site, place) => (
            <Curve
              key={site}
              dataKey={(point: Point) => point.sites[site] ?? null}
              name={nodeName(site)}
              type="linear"
              stroke={`var(--series-${(place % 5) + 2})`}
              strokeWidth={site === selected ? 2 : 1}
              dot={points.length === 1}
              connectNulls
              isAnimationActive={false}
            />
          ))}
          <Curve dataKey="value" name="new model" type="linear" stroke="var(--series-1)" strokeWidth={2} dot={points.length < 3} isAnimationActive={false} />
        </ComposedChart>
      </ResponsiveContainer>
    </div>
  )
}

function Values({ point, format }: { point: Point; format: (value: number) => string }) {
  return (
    <div className="rounded-md border bg-popover px-2 py-1 text-xs shadow">
      <p className="font-medium">Global round {point.round}</p>
      {point.value !== null && <p>new model {format(point.value)}</p>}
      {point.band !== null && (
        <p className="text-muted-foreground">
          sites {format(point.band[0])} to {format(point.band[1])}
        </p>
      )}
      {Object.entries(point.sites).map(([site, value]) => (
        <p key={site}>
          {nodeName(site)} {format(value)}
        </p>
      ))}
    </div>
  )
}
