import { monitorAnswers, Refusal } from '@/test/monitor'
import { screen, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { expect, it } from 'vitest'
import { openPage } from '@/test/page'
import SitesPage from './sites-page'

const NOW = new Date()
const before = (seconds: number) => new Date(NOW.getTime() - 1000 * seconds).toISOString()
const site = (changes: object) => ({
  federation: 'north', site: 0, name: 'kiel', online: true, last_seen_at: before(5), version: null, clock_offset_seconds: null,
  certificate_ends_at: before(-20 * 86_400), last_refusal: null, told_at: before(5), stale: false, ...changes,
})
const words = { tasks: { train: 'train the model' }, sentences: {}, stages: {}, states: {}, conditions: {}, activities: {} }
const answers = {
  'GET /api/session': { required: false, right: 'operator', name: null, expires_at: null },
  'GET /api/words': words,
  'GET /api/runs': { runs: [{ run_id: 'blood-1' }], next_cursor: null, counts: {} },
  'GET /api/runs/blood-1/disclosures': {
    run_id: 'blood-1', protection: 'no differential privacy: the server sees it',
    sites: [
      { node_id: 'client-1', rows: 20, sent: [{ task: 'train', messages: 3, payload_bytes: 4096, contains: 'the trained weights', sums: true, per_class: true, smallest_group: 1 }] },
    ],
  },
}

it('shows of each site what is known, and says what is not', async () => {
  monitorAnswers({ ...answers, 'GET /api/sites': { taken_at: NOW.toISOString(), sites: [site({ clock_offset_seconds: -2.4 })] } })
  openPage(<SitesPage />, '/sites')
  const row = await screen.findByRole('row', { name: /kiel/ })
  expect(row).toHaveTextContent(/kiel0on line.*not known2\.4 s behind.*! \d+ days leftnone/)
})

it('says of sites that nobody tells of any more that they are stale', async () => {
  const stale = site({ told_at: before(90), last_refusal: { at: before(100), reason: 'its key is not known' } })
  monitorAnswers({ ...answers, 'GET /api/sites': { taken_at: NOW.toISOString(), sites: [stale] } })
  openPage(<SitesPage />, '/sites')
  const row = await screen.findByRole('row', { name: /kiel/ })
  expect(row).toHaveTextContent(/was on line.*its key is not known/)
  expect(screen.getByText('stale')).toBeInTheDocument()
})

it('shows the first of many sites, says how many are left, and shows more', async () => {
  const many = Array.from({ length: 250 }, (_, number) => site({ site: number, name: `site ${number}` }))
  monitorAnswers({ ...answers, 'GET /api/sites': { taken_at: NOW.toISOString(), sites: many } })
  openPage(<SitesPage />, '/sites')
  const table = await screen.findByRole('table', { name: /Sites of/ })
  expect(table.querySelectorAll('tbody tr')).toHaveLength(200)
  expect(screen.getByText('50 are not shown')).toBeInTheDocument()
  await userEvent.click(screen.getByRole('button', { name: 'Show 50 more' }))
  expect(table.querySelectorAll('tbody tr')).toHaveLength(250)
})

it('gives the command where nobody tells of a federation', async () => {
  monitorAnswers({ ...answers, 'GET /api/sites': { taken_at: NOW.toISOString(), sites: [] } })
  openPage(<SitesPage />, '/sites')
  expect(await screen.findByText(`fedforge federation up --monitor ${location.origin}`)).toBeInTheDocument()
})

it('counts what has left each site in the latest run', async () => {
  monitorAnswers({ ...answers, 'GET /api/sites': { taken_at: NOW.toISOString(), sites: [] } })
  openPage(<SitesPage />, '/sites')
  const table = await screen.findByRole('table', { name: 'What has left each site in blood-1' })
  expect(await within(table).findByRole('row', { name: /train the model/ })).toHaveTextContent(
    'Site 1train the modelthe trained weights34.1 kBat most 1 rowsums of each class',
  )
  expect(screen.getByText(/No differential privacy: the server sees it\./)).toBeInTheDocument()
})

it('says in the monitor’s words why there is nothing of a run', async () => {
  const refusal = new Refusal(404, "there is no run 'gone' here.")
  monitorAnswers({ ...answers, 'GET /api/sites': { taken_at: NOW.toISOString(), sites: [] }, 'GET /api/runs/gone/disclosures': refusal })
  openPage(<SitesPage />, '/sites?run=gone')
  expect(await screen.findByText("there is no run 'gone' here.")).toBeInTheDocument()
})
