import { useState } from 'react'
import type { SiteHolding } from '@/api/schema'
import { Button } from '@/components/ui/button'
import { Panel } from '@/components/ui/panel'
import { Table, Td, Th, Tr } from '@/components/ui/table'
import { count } from '@/lib/format'
import { cn } from '@/lib/utils'

interface HoldingsProps {
  sites: SiteHolding[]
  classNames: string[]
}

const FEW = 24

/** Who would hold what: rows of each class, of each site, over one axis. */
export function Holdings({ sites, classNames, outdated }: HoldingsProps & { outdated: boolean }) {
  const [asTable, setAsTable] = useState(false)
  const [all, setAll] = useState(false)
  const shown = all ? sites : sites.slice(0, FEW)
  return (
    <Panel
      title="Who would hold what"
      aside={
        <Button size="sm" variant="ghost" aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
          As a table
        </Button>
      }
      bodyClassName={cn('flex flex-col gap-2 px-3 py-3', outdated && 'opacity-60')}
    >
      {asTable ? (
        <HoldingsTable sites={shown} classNames={classNames} />
      ) : (
        <Histograms sites={shown} classNames={classNames} highest={Math.max(1, ...sites.flatMap((site) => site.class_rows))} />
      )}
      {sites.length > FEW && (
        <Button size="sm" variant="ghost" className="self-start" onClick={() => setAll(!all)}>
          {all ? `The first ${FEW} sites` : `All ${count(sites.length)} sites`}
        </Button>
      )}
    </Panel>
  )
}

function Histograms({ sites, classNames, highest }: HoldingsProps & { highest: number }) {
  return (
    <>
      <ul className="grid grid-cols-[repeat(auto-fill,minmax(6.5rem,1fr))] gap-x-4 gap-y-3">
        {sites.map((site) => (
          <li key={site.site} className="min-w-0">
            <Histogram site={site} classNames={classNames} highest={highest} />
            <p className="mt-1 flex justify-between gap-1 text-xs">
              <span>Site {site.site}</span>
              <span className="text-muted-foreground">{count(site.rows)} rows</span>
            </p>
          </li>
        ))}
      </ul>
      <p className="text-xs text-muted-foreground">
        Bars from left to right, the highest {count(highest)} rows:{' '}
        {classNames.map((name, place) => `${place + 1} ${name}`).join(', ')}.
      </p>
    </>
  )
}

function Histogram({ site, classNames, highest }: { site: SiteHolding; classNames: string[]; highest: number }) {
  const said = site.class_rows.map((rows, place) => `${classNames[place] ?? `class ${place}`} ${rows}`).join(', ')
  const width = 100 / Math.max(1, site.class_rows.length)
  return (
    <svg role="img" aria-label={`Site ${site.site}: ${said}`} viewBox="0 0 100 40" preserveAspectRatio="none" className="h-12 w-full border-b border-input">
      {site.class_rows.map((rows, place) => {
        const height = rows === 0 ? 0 : Math.max(1, (40 * rows) / highest)
        return (
          <rect key={place} x={place * width + width * 0.12} width={width * 0.76} y={40 - height} height={height} className="fill-foreground/65">
            <title>{`${classNames[place] ?? `class ${place}`}: ${rows}`}</title>
          </rect>
        )
      })}
    </svg>
  )
}

function HoldingsTable({ sites, classNames }: HoldingsProps) {
  return (
    <Table label="Rows of each class that each site would hold">
      <thead>
        <tr>
          <Th>Site</Th>
          <Th className="text-right">Rows</Th>
          {classNames.map((name) => (
            <Th key={name} className="max-w-36 truncate text-right" title={name}>
              {name}
            </Th>
          ))}
        </tr>
      </thead>
      <tbody>
        {sites.map((site) => (
          <Tr key={site.site}>
            <Th scope="row">{site.site}</Th>
            <Td className="text-right">{count(site.rows)}</Td>
            {site.class_rows.map((rows, place) => (
              <Td key={place} className="text-right">
                {count(rows)}
              </Td>
            ))}
          </Tr>
        ))}
      </tbody>
    </Table>
  )
}
