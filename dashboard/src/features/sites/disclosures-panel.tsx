import { useQuery } from '@tanstack/react-query'
import { Link, useSearchParams } from 'react-router'
import { wordsQuery } from '@/api/queries'
import type { Disclosures } from '@/api/schema'
import { Asked } from '@/components/asked'
import { RunPicker } from '@/components/run-picker'
import { Button } from '@/components/ui/button'
import { Command, Empty } from '@/components/ui/notice'
import { Panel } from '@/components/ui/panel'
import { capitalised } from '@/lib/format'
import { download } from '@/lib/download'
import { disclosureCsv } from './disclosure-rows'
import { DisclosureTable } from './disclosure-table'
import { disclosuresQuery, latestRunQuery } from './queries'

/** For whoever answers for a site's data: what of it a run has sent to the server. */
export function DisclosuresPanel() {
  const [search, setSearch] = useSearchParams()
  const latest = useQuery(latestRunQuery)
  const chosen = search.get('run')
  const runId = chosen ?? latest.data?.runs[0]?.run_id
  const choose = (run: string) => setSearch((now) => ({ ...Object.fromEntries(now), run }), { replace: true })
  return (
    <Panel title="What has left each site" className="rounded-md border bg-card">
      <div className="flex flex-col gap-2 px-3 py-3">
        <RunPicker
          label={chosen === null ? 'Run (the latest)' : 'Run'}
          value={runId ?? ''}
          onChoose={choose}
          className="max-w-md"
        />
      </div>
      {runId !== undefined ? (
        <OfRun runId={runId} />
      ) : (
        <Asked query={latest} what="The latest run is looked for">
          {() => (
            <Empty title="There is no run yet.">
              <Link to="/start" className="text-primary underline">
                Start one
              </Link>
              , or on a machine: <Command>{`fedforge run blood --monitor ${location.origin}`}</Command>
            </Empty>
          )}
        </Asked>
      )}
    </Panel>
  )
}

function OfRun({ runId }: { runId: string }) {
  const query = useQuery(disclosuresQuery(runId))
  const words = useQuery(wordsQuery)
  return (
    <div aria-live="polite">
      <Asked query={query} what="The messages are counted">
        {(disclosures) =>
          disclosures.sites.length === 0 ? (
            <Empty title="No site has sent anything in this run.">It has not come to its first round, or ended before.</Empty>
          ) : (
            <>
              <p className="max-w-3xl px-3 pb-3">{capitalised(disclosures.protection)}. Images are not among it.</p>
              <DisclosureTable disclosures={disclosures} words={words.data} />
              <Exports disclosures={disclosures} />
            </>
          )
        }
      </Asked>
    </div>
  )
}

function Exports({ disclosures }: { disclosures: Disclosures }) {
  const name = `${disclosures.run_id}-disclosures`
  return (
    <div className="flex flex-wrap items-center justify-between gap-3 px-3 py-2">
      <p className="min-w-0 max-w-3xl text-xs text-muted-foreground">
        The smallest group is the fewest rows behind one of the numbers. The rows of a class are counted with validation rows, so there it is at most as large as said.
      </p>
      <div className="flex gap-2">
        <Button size="sm" onClick={() => download(`${name}.csv`, disclosureCsv(disclosures), 'text/csv')}>
          CSV
        </Button>
        <Button size="sm" onClick={() => download(`${name}.json`, JSON.stringify(disclosures, null, 2), 'application/json')}>
          JSON
        </Button>
      </div>
    </div>
  )
}
