import { Notice } from '@/components/ui/notice'
import { Status } from '@/components/ui/status'
import { Panel } from '@/components/ui/panel'
import { duration } from '@/lib/format'
import { cn } from '@/lib/utils'
import type { Verdict } from './verdict'

interface CheckPanelProps {
  /** The latest that is known: while the next answer is on its way, of the request before. */
  verdict: Verdict
  outdated: boolean
}

/** What a claimant says of the request as it is in the form. */
export function CheckPanel({ verdict, outdated }: CheckPanelProps) {
  return (
    <Panel
      title="Check"
      aside={
        <span role="status">
          <Said verdict={verdict} outdated={outdated} />
        </span>
      }
    >
      <div className={cn('flex flex-col gap-4 px-3 py-3', outdated && 'opacity-60')} aria-busy={outdated}>
        <Content verdict={verdict} />
      </div>
    </Panel>
  )
}

function Said({ verdict, outdated }: CheckPanelProps) {
  if (outdated || verdict.kind === 'checking') return <Status tone="waiting" word="checking …" />
  if (verdict.kind === 'valid') return <Status tone="completed" word="valid" />
  if (verdict.kind === 'invalid') return <Status tone="failed" word="cannot be carried out" />
  return <Status tone="idle" word="not checked" />
}

function Content({ verdict }: { verdict: Verdict }) {
  switch (verdict.kind) {
    case 'checking':
      return <p className="text-muted-foreground">Whoever would carry it out is asked: is it valid, who would hold what, how long does it take.</p>
    case 'invalid':
      return (
        <Notice tone="error" title={verdict.refused ? 'It would be refused' : 'The run would fail'}>
          {verdict.error}
        </Notice>
      )
    case 'unknown':
      return (
        <Notice tone="info" title="Nobody has checked this">
          {verdict.reason}
        </Notice>
      )
    case 'valid':
      return <Valid answer={verdict.answer} claimant={verdict.claimant} />
  }
}

function Valid({ answer, claimant }: { answer: Extract<Verdict, { kind: 'valid' }>['answer']; claimant: string | null }) {
  return (
    <>
      <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1">
        <dt className="text-muted-foreground">It takes</dt>
        <dd>
          {answer.seconds === null
            ? 'not known'
            : `about ${duration(answer.seconds)}, reckoned from the latest completed run of its kind`}
        </dd>
        {claimant !== null && (
          <>
            <dt className="text-muted-foreground">Answered by</dt>
            <dd className="break-words">{claimant}</dd>
          </>
        )}
      </dl>
      {answer.warnings.length > 0 && (
        <Notice tone="warning" title={answer.warnings.length === 1 ? 'One warning' : `${answer.warnings.length} warnings`}>
          <ul className="flex list-disc flex-col gap-1 pl-4">
            {answer.warnings.map((warning) => (
              <li key={warning}>{warning}</li>
            ))}
          </ul>
        </Notice>
      )}
    </>
  )
}
