import { useQuery } from '@tanstack/react-query'
import type { SiteList } from '@/api/schema'
import { Asked } from '@/components/asked'
import { Command, Empty } from '@/components/ui/notice'
import { Panel } from '@/components/ui/panel'
import { useNow } from '@/stores/clock'
import { DisclosuresPanel } from './disclosures-panel'
import { federations } from './federations'
import { FederationTable } from './federation-table'
import { sitesQuery } from './queries'

/** Who is there, also between runs; and what has left each site in a run. */
export default function SitesPage() {
  const sites = useQuery(sitesQuery)
  return (
    <div className="mx-auto flex w-full max-w-[1600px] flex-col gap-5 px-3 py-4 sm:px-4">
      <title>Sites – FedForge</title>
      <h1 className="sr-only">Sites</h1>
      <Panel title="Sites" className="rounded-md border bg-card">
        <Asked query={sites} what="The sites come">
          {(list) => <Federations list={list} />}
        </Asked>
      </Panel>
      <DisclosuresPanel />
    </div>
  )
}

function Federations({ list }: { list: SiteList }) {
  const now = useNow()
  const found = federations(list, now)
  if (found.length === 0) {
    return (
      <Empty title="Nobody has told of a federation.">
        <p className="mb-2">One that is kept up tells of its sites every 10 s. Start it on the machine that the sites connect to:</p>
        <Command>{`fedforge federation up --monitor ${location.origin}`}</Command>
      </Empty>
    )
  }
  return (
    <div className="divide-y">
      {found.map((federation) => (
        <FederationTable key={federation.name} federation={federation} now={now} />
      ))}
    </div>
  )
}
