import { ArrowLeftRight } from 'lucide-react'
import { useSearchParams } from 'react-router'
import { RunPicker } from '@/components/run-picker'
import { Button } from '@/components/ui/button'
import { Empty, Failed, Loading } from '@/components/ui/notice'
import { Comparison } from './comparison'
import { useRunSide, type AskedSide } from './use-run-side'

/** Two runs held against each other: `?a=RUN_ID&b=RUN_ID`. */
export default function ComparePage() {
  const [search, setSearch] = useSearchParams()
  const [a, b] = [search.get('a') ?? '', search.get('b') ?? '']
  const put = (changes: Record<string, string>) =>
    setSearch((now) => ({ ...Object.fromEntries(now), ...changes }), { replace: true })
  return (
    <div className="mx-auto flex w-full max-w-[1600px] flex-col gap-5 px-3 py-4 sm:px-4">
      <title>Compare – FedForge</title>
      <h1 className="sr-only">Compare two runs</h1>
      <div className="grid items-end gap-3 sm:grid-cols-[minmax(0,1fr)_auto_minmax(0,1fr)]">
        <RunPicker label="Run A" value={a} onChoose={(run) => put({ a: run })} />
        <Button size="icon" aria-label="Swap A and B" title="Swap A and B" className="max-sm:justify-self-center" disabled={a === '' && b === ''} onClick={() => put({ a: b, b: a })}>
          <ArrowLeftRight aria-hidden />
        </Button>
        <RunPicker label="Run B" value={b} onChoose={(run) => put({ b: run })} />
      </div>
      {a === '' || b === '' ? (
        <Empty title="Choose two runs.">
          {a === '' && b === '' ? 'A is what B is held against: differences are B less A.' : `Run ${a === '' ? 'A' : 'B'} is missing.`}
        </Empty>
      ) : (
        <Both key={`${a} ${b}`} a={a} b={b} metric={search.get('metric')} onMetric={(metric) => put({ metric })} />
      )}
    </div>
  )
}

interface BothProps {
  a: string
  b: string
  metric: string | null
  onMetric: (metric: string) => void
}

function Both({ a, b, metric, onMetric }: BothProps) {
  const [sideA, sideB] = [useRunSide(a), useRunSide(b)]
  const missing = [
    [a, sideA],
    [b, sideB],
  ].find((each): each is [string, AskedSide] => (each[1] as AskedSide).side === undefined && (each[1] as AskedSide).error !== null)
  if (missing) return <Failed error={new Error(`${missing[0]}: ${missing[1].error?.message}`)} retry={missing[1].retry} />
  if (!sideA.side || !sideB.side) return <Loading what="Both runs are read" />
  return <Comparison a={sideA.side} b={sideB.side} trouble={sideA.error ?? sideB.error} metric={metric} onMetric={onMetric} />
}
