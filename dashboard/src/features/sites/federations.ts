import type { SiteList, SiteView } from '@/api/schema'

const FRESH_MS = 60_000

/** The sites of one federation, and when its keeper told of them. */
export interface Federation {
  name: string
  toldAt: string
  /** Nobody has told for more than a minute: what is said may be so no more. */
  stale: boolean
  online: number
  sites: SiteView[]
}

/**
 * By federation, in the order in which the monitor lists them.
 *
 * @param now on the monitor's clock; an answer that is shown for long grows stale by itself.
 */
export function federations(list: SiteList, now: number): Federation[] {
  const byName = new Map<string, SiteView[]>()
  for (const site of list.sites) byName.set(site.federation, [...(byName.get(site.federation) ?? []), site])
  return [...byName].map(([name, sites]) => ({
    name,
    toldAt: sites[0]?.told_at ?? list.taken_at,
    stale: sites.some((site) => site.stale || now - Date.parse(site.told_at) > FRESH_MS),
    online: sites.filter((site) => site.online).length,
    sites,
  }))
}

/** A site's name, else its number; one that has neither is still a site. */
export function siteName(site: SiteView): string {
  return site.name ?? (site.site === null ? 'a site without a name' : `site ${site.site}`)
}
