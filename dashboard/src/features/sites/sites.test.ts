import { describe, expect, it } from 'vitest'
import type { Disclosures, SiteView } from '@/api/schema'
import { certificate, certificateWords, clockWords } from './certificate'
import { disclosureCsv } from './disclosure-rows'
import { federations, siteName } from './federations'

const NOW = Date.parse('2026-11-24T12:00:00Z')

function site(changes: Partial<SiteView> = {}): SiteView {
  return {
    federation: 'north', site: 1, name: 'ukb', online: true, last_seen_at: null, version: null, clock_offset_seconds: null,
    certificate_ends_at: null, last_refusal: null, told_at: '2026-11-24T11:59:55Z', stale: false, ...changes,
  }
}

describe('a certificate', () => {
  it('is warned of within 30 days of its end', () => {
    const ends = ['2026-11-24T11:00:00Z', '2026-11-25T11:00:00Z', '2026-12-23T13:00:00Z', '2026-12-25T12:00:00Z', null]
    expect(ends.map((end) => certificate(end, NOW).state)).toEqual(['ended', 'ending', 'ending', 'valid', 'unknown'])
    expect(ends.map((end) => certificateWords(certificate(end, NOW)))).toEqual([
      'has ended', 'ends within a day', '29 days left', '31 days left', 'not known',
    ])
  })
})

it('a clock says in which direction it is off', () => {
  expect([null, 0.01, 2.34, -75].map(clockWords)).toEqual(['not known', 'as the federation’s', '2.3 s ahead', '75 s behind'])
})

describe('a federation', () => {
  const list = { taken_at: '2026-11-24T12:00:00Z', sites: [site(), site({ name: null, site: 2, online: false })] }

  it('grows stale while its answer is shown', () => {
    expect(federations(list, NOW)[0]).toMatchObject({ name: 'north', stale: false, online: 1 })
    expect(federations(list, NOW + 60_000)[0]?.stale).toBe(true)
  })

  it('has sites with a name, else a number', () => {
    expect(list.sites.map(siteName)).toEqual(['ukb', 'site 2'])
    expect(siteName(site({ name: null, site: null }))).toBe('a site without a name')
  })
})

it('what has left a site is a line of a table', () => {
  const said: Disclosures = {
    run_id: 'blood-1',
    protection: 'none',
    sites: [{ node_id: 'client-0', rows: 20, sent: [{ task: 'train', messages: 3, payload_bytes: 900, contains: 'weights', sums: false, per_class: false, smallest_group: null }] }],
  }
  expect(disclosureCsv(said).split('\r\n')[1]).toBe('blood-1,client-0,train,weights,3,900,,false,false,20,none')
})
