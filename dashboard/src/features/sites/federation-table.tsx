import type { SiteView } from '@/api/schema'
import { Ago } from '@/components/moment'
import { Status } from '@/components/ui/status'
import { useFirstRows } from '@/components/first-rows'
import { Table, Td, Th, Tr } from '@/components/ui/table'
import { dateOf } from '@/lib/format'
import { cn } from '@/lib/utils'
import { certificate, certificateWords, clockWords } from './certificate'
import { siteName, type Federation } from './federations'

/** The sites of one federation, on line or not. */
export function FederationTable({ federation, now }: { federation: Federation; now: number }) {
  const [shown, more] = useFirstRows(federation.sites)
  return (
    <section aria-label={`Federation ${federation.name}`}>
      <header className="flex flex-wrap items-baseline gap-x-3 px-3 py-2">
        <h3 className="font-medium">{federation.name}</h3>
        <p className="text-muted-foreground">
          {federation.online} of {federation.sites.length} on line, told <Ago at={federation.toldAt} />
        </p>
        {federation.stale && (
          <Status tone="lost" word="stale" title="Whoever keeps the federation has told nothing for more than a minute." />
        )}
      </header>
      {federation.stale && (
        <p className="px-3 pb-2 text-muted-foreground">
          Nothing has been told of these sites for more than a minute: what is shown may be so no more. See whether{' '}
          <code className="font-mono text-xs text-foreground">fedforge federation status</code> finds it on its machine.
        </p>
      )}
      <Table label={`Sites of ${federation.name}`} className={cn(federation.stale && 'text-muted-foreground')}>
        <thead>
          <tr>
            <Th>Site</Th>
            <Th className="text-right">Number</Th>
            <Th>Connection</Th>
            <Th>Last seen</Th>
            <Th>Version</Th>
            <Th>Clock</Th>
            <Th>Certificate ends</Th>
            <Th>Last refusal</Th>
          </tr>
        </thead>
        <tbody>
          {shown.map((site, place) => (
            <SiteRow key={`${site.site} ${site.name} ${place}`} site={site} stale={federation.stale} now={now} />
          ))}
        </tbody>
      </Table>
      {more}
    </section>
  )
}

function SiteRow({ site, stale, now }: { site: SiteView; stale: boolean; now: number }) {
  return (
    <Tr>
      <Th scope="row" className={cn('text-sm', !stale && 'text-foreground')}>
        {siteName(site)}
      </Th>
      <Td className="text-right">{site.site ?? <Unknown />}</Td>
      <Td className="whitespace-nowrap">
        {stale ? (
          `was ${site.online ? 'on line' : 'off line'}`
        ) : (
          <Status tone={site.online ? 'completed' : 'lost'} word={site.online ? 'on line' : 'off line'} />
        )}
      </Td>
      <Td>{site.last_seen_at === null ? <Unknown /> : <Ago at={site.last_seen_at} />}</Td>
      <Td>{site.version ?? <Unknown />}</Td>
      <Td className="whitespace-nowrap">{site.clock_offset_seconds === null ? <Unknown /> : clockWords(site.clock_offset_seconds)}</Td>
      <Td className="whitespace-nowrap">
        <CertificateEnd endsAt={site.certificate_ends_at} now={now} />
      </Td>
      <Td className="min-w-52">
        {site.last_refusal === null ? (
          <span className="text-muted-foreground">none</span>
        ) : (
          <>
            <Ago at={site.last_refusal.at} />: {site.last_refusal.reason}
          </>
        )}
      </Td>
    </Tr>
  )
}

function CertificateEnd({ endsAt, now }: { endsAt: string | null; now: number }) {
  const found = certificate(endsAt, now)
  if (endsAt === null) return <Unknown />
  return (
    <span className="inline-flex flex-wrap gap-x-2">
      {dateOf(endsAt)}
      {found.state === 'ended' && <Status tone="failed" word="has ended" />}
      {found.state === 'ending' && (
        <span data-tone="paused" className="font-medium text-status">
          ! {certificateWords(found)}
        </span>
      )}
    </span>
  )
}

function Unknown() {
  return <span className="whitespace-nowrap text-muted-foreground">not known</span>
}
