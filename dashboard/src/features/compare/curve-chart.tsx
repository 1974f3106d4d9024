import { CartesianGrid, Line, LineChart, ResponsiveContainer, Tooltip, XAxis, YAxis } from 'recharts'
import { scoreWords, tickWords } from './number-words'
import type { Place } from './curves'

interface CurveChartProps {
  metric: string
  places: Place[]
  names: { a: string; b: string }
}

/** Two courses over the global round; A is drawn through, B is dashed. */
export default function CurveChart({ metric, places, names }: CurveChartProps) {
  const few = places.length <= 40
  const values = places.flatMap((place) => [place.a, place.b]).filter((value) => value !== undefined)
  const range = Math.max(...values) - Math.min(...values)
  return (
    <ResponsiveContainer width="100%" height={220}>
      <LineChart data={places} margin={{ top: 8, right: 12, bottom: 18, left: 0 }} accessibilityLayer={false}>
        <CartesianGrid stroke="var(--border)" vertical={false} />
        <XAxis
          dataKey="round"
          type="number"
          domain={['dataMin', 'dataMax']}
          allowDecimals={false}
          stroke="var(--input)"
          tick={{ fill: 'var(--muted-foreground)', fontSize: 11 }}
          label={{ value: 'global round', position: 'insideBottom', offset: -12, fill: 'var(--muted-foreground)', fontSize: 11 }}
        />
        <YAxis
          width={44}
          domain={['auto', 'auto']}
          stroke="var(--input)"
          tick={{ fill: 'var(--muted-foreground)', fontSize: 11 }}
          tickFormatter={(value: number) => tickWords(metric, value, range)}
        />
        <Tooltip
          isAnimationActive={false}
          contentStyle={{ background: 'var(--popover)', border: '1px solid var(--border)', borderRadius: 6, fontSize: 12 }}
          labelFormatter={(round) => `global round ${String(round)}`}
          formatter={(value) => (typeof value === 'number' ? scoreWords(metric, value) : '–')}
        />
        {(['a', 'b'] as const).map((side) => (
          <Line
            key={side}
            dataKey={side}
            name={`${side.toUpperCase()} ${names[side]}`}
            type="linear"
            stroke={side === 'a' ? 'var(--series-1)' : 'var(--series-2)'}
            strokeWidth={1.75}
            {...(side === 'b' && { strokeDasharray: '5 3' })}
            dot={few ? { r: 2, strokeDasharray: '' } : false}
            connectNulls
            isAnimationActive={false}
          />
        ))}
      </LineChart>
    </ResponsiveContainer>
  )
}
