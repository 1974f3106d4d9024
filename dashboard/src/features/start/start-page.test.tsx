import { monitorAnswers, Refusal, requests } from '@/test/monitor'
import { act, screen, waitFor, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { beforeEach, expect, it } from 'vitest'
import type { CheckView, OfferPage, OfferView, SessionView } from '@/api/schema'
import { openPage } from '@/test/page'
import StartPage from './start-page'

const named = (...names: string[]) => names.map((name) => ({ name, description: '', parameters: [] }))
const alpha = {
  name: 'alpha', type: 'number' as const, description: '', default: 0.5, required: false, minimum: 0, minimum_excluded: true, maximum: null,
}
const OFFERS: OfferPage = {
  offers: [
    {
      claimant: 'agent on vm', offered_at: '2026-11-24T09:30:00Z', expires_at: '2026-11-24T09:31:00Z',
      offer: {
        phases: named('blood', 'derma'), profiles: named('cpu-safe', 'tuned'), engines: named('inprocess'),
        partitions: [{ name: 'dirichlet', description: '', parameters: [alpha] }, ...named('iid')], presets: named('hospital-skew'),
        strategies: named('fedavg', 'closed_form'), backbones: named('untrained'), data: named('phantom', 'official'),
        overrides: {
          seed: { type: 'integer', minimum: 0 }, 'federation.rounds': { type: 'integer', minimum: 1 },
          'partition.clients': { type: 'integer', minimum: 1 }, 'learning.epochs': { type: 'integer', minimum: 1 },
          'learning.mode': { enum: ['head_only', 'full'], type: 'string' }, 'runtime.workers': { type: 'integer' },
        },
        defaults: {
          values: {
            blood: {
              seed: 17, 'federation.rounds': 20, 'partition.clients': 10, 'partition.name': 'dirichlet', 'partition.parameters.alpha': 0.3,
              'dataset.source': 'official', 'backbone.name': 'untrained', 'federation.strategy.name': 'fedavg',
              'federation.site_data': 'partition', 'learning.epochs': 1, 'learning.mode': 'head_only', 'runtime.engine': 'inprocess',
            },
          },
          by_profile: {}, engine: null, superlink: null, sites: null,
        },
        sites: [], checks: true,
      },
    },
  ],
}
const VALID: CheckView = {
  answer: {
    valid: true, error: null, class_names: ['rare', 'common'], warnings: ['Site 1 lacks a class.'], seconds: 80,
    sites: [{ site: 0, rows: 30, class_rows: [10, 20] }, { site: 1, rows: 5, class_rows: [0, 5] }],
  },
  claimant: 'agent on vm', missing: null,
}
const SESSION: SessionView = { required: false, right: 'operator', name: 'Ada', expires_at: null }
const answers = { 'GET /api/session': SESSION, 'GET /api/offers': OFFERS, 'POST /api/checks': VALID }

beforeEach(() => monitorAnswers(answers))

it('shows who would hold what, what to be warned of, and how long it takes', async () => {
  openPage(<StartPage />, '/start')
  expect(await screen.findByText(/about 1 min 20 s/)).toBeInTheDocument()
  expect(screen.getByText('Site 1 lacks a class.')).toBeInTheDocument()
  expect(screen.getByRole('img', { name: 'Site 1: rare 0, common 5' })).toBeInTheDocument()
  await userEvent.click(screen.getByRole('button', { name: 'As a table' }))
  const table = screen.getByRole('table', { name: /Rows of each class/ })
  expect(within(table).getAllByRole('row')[1]).toHaveTextContent('0301020')
})

it('sends only what is changed, and takes it back', async () => {
  openPage(<StartPage />, '/start')
  const rounds = await screen.findByLabelText('Rounds')
  await userEvent.clear(rounds)
  await userEvent.type(rounds, '5')
  await waitFor(() => expect(requests('POST /api/checks').at(-1)?.body).toMatchObject({ request: { overrides: { 'federation.rounds': 5 } } }))
  await userEvent.click(screen.getByRole('button', { name: 'Reset Rounds' }))
  await waitFor(() => expect(requests('POST /api/checks').at(-1)?.body).toMatchObject({ request: { overrides: {} } }))
  expect(rounds).toHaveValue('20')
})

it('shows the server’s error at the field that it names', async () => {
  const error = 'configuration: strategy closed_form solves once, but federation.rounds is 20.'
  monitorAnswers({ ...answers, 'POST /api/checks': { answer: { ...VALID.answer, valid: false, error }, claimant: 'agent on vm', missing: null } })
  openPage(<StartPage />, '/start')
  await waitFor(() => expect(screen.getByLabelText('Rounds')).toHaveAccessibleDescription(expect.stringContaining(error)))
  expect(screen.getByLabelText('Rounds')).toBeInvalid()
  expect(screen.getByRole('button', { name: 'Start this run' })).toBeDisabled()
})

it('asks nothing while what is written is wrong', async () => {
  openPage(<StartPage />, '/start')
  const alphaInput = await screen.findByLabelText('alpha')
  expect(alphaInput).toHaveValue('0.3')
  await screen.findByText('valid')
  await userEvent.clear(alphaInput)
  await userEvent.type(alphaInput, '-1')
  expect(alphaInput).toHaveAccessibleDescription(expect.stringContaining('Give a number above 0.'))
  expect(screen.getByRole('button', { name: 'Start this run' })).toBeDisabled()
})

it('makes one run of a double click, and goes to it', async () => {
  let release = () => {}
  const answered = new Promise<void>((resolve) => (release = resolve))
  const start = async (body: unknown) => {
    await answered
    return { run_id: (body as { run_id: string }).run_id }
  }
  monitorAnswers({ ...answers, 'POST /api/runs': start })
  const router = openPage(<StartPage />, '/start')
  await screen.findByText('valid')
  const name = screen.getByLabelText('Name of the run')
  await userEvent.clear(name)
  await userEvent.type(name, 'blood-1')
  await userEvent.dblClick(screen.getByRole('button', { name: 'Start this run' }))
  expect(await screen.findByRole('button', { name: 'Starting …' })).toBeDisabled()
  expect(screen.getByLabelText('Rounds')).toBeDisabled()
  release()
  await screen.findByText('the run’s page')
  expect(router.state.location.pathname).toBe('/runs/blood-1')
  expect(requests('POST /api/runs').map((each) => each.body)).toEqual([
    { run_id: 'blood-1', request: { phase: 'blood', profile: 'cpu-safe', overrides: {}, requested_by: 'Ada' } },
  ])
})

it('says why a run was not started, and can be asked again', async () => {
  monitorAnswers({ ...answers, 'POST /api/runs': new Refusal(409, 'there is a run blood-1 already. Choose another run_id.') })
  openPage(<StartPage />, '/start')
  await screen.findByText('valid')
  await userEvent.click(screen.getByRole('button', { name: 'Start this run' }))
  expect(await screen.findByRole('alert')).toHaveTextContent('there is a run blood-1 already. Choose another run_id.')
  expect(screen.getByRole('button', { name: 'Start this run' })).toBeEnabled()
})

it('is filled from another run, without what no page may set', async () => {
  const request = { phase: 'blood', profile: 'cpu-safe', overrides: { seed: 3, 'federation.rounds': 20, 'runtime.workers': 2 }, requested_by: 'cli', requested_at: null }
  monitorAnswers({ ...answers, 'GET /api/runs/blood-0': { run_id: 'blood-0', request } })
  openPage(<StartPage />, '/start?like=blood-0')
  expect(await screen.findByLabelText('Seed')).toHaveValue('3')
  expect(screen.getByText(/runtime\.workers: of whoever carries the run out/)).toBeInTheDocument()
  await waitFor(() => expect(requests('POST /api/checks').at(-1)?.body).toMatchObject({ request: { overrides: { seed: 3 } } }))
})

it('lets the sites be chosen that a claimant reaches', async () => {
  const [view] = OFFERS.offers as [OfferView]
  const sites = [{ site: 0, name: 'site-0' }, { site: 1, name: 'berlin' }, { site: 2, name: 'ulm' }]
  const defaults = { ...view.offer.defaults, engine: 'superlink', superlink: 'fed:9092' }
  monitorAnswers({ ...answers, 'GET /api/offers': { offers: [{ ...view, offer: { ...view.offer, sites, defaults } }] } })
  openPage(<StartPage />, '/start')
  expect(await screen.findByLabelText('Sites')).toHaveValue('3')
  const group = await screen.findByRole('group', { name: 'Which sites take part' })
  await userEvent.click(within(group).getByRole('checkbox', { name: 'Site 1, berlin' }))
  const overrides = { 'partition.clients': 3, 'federation.sites': [0, 2] }
  await waitFor(() => expect(requests('POST /api/checks').at(-1)?.body).toMatchObject({ request: { overrides } }))
  await userEvent.click(within(group).getByRole('checkbox', { name: 'Site 0' }))
  expect(within(group).getByRole('checkbox', { name: 'Site 2, ulm' })).toBeDisabled()
  await userEvent.click(within(group).getByRole('button', { name: 'Reset which sites take part' }))
  for (const site of within(group).getAllByRole('checkbox')) expect(site).toBeChecked()
})

it('shows what another profile holds, and sends only what differs from that', async () => {
  const [view] = OFFERS.offers as [OfferView]
  const defaults = { ...view.offer.defaults, by_profile: { tuned: { blood: { 'federation.rounds': 40 } } } }
  monitorAnswers({ ...answers, 'GET /api/offers': { offers: [{ ...view, offer: { ...view.offer, defaults } }] } })
  openPage(<StartPage />, '/start')
  await userEvent.selectOptions(await screen.findByLabelText('Profile'), 'tuned')
  expect(screen.getByLabelText('Rounds')).toHaveValue('40')
  expect(screen.getByLabelText('Seed')).toHaveValue('17')
  await waitFor(() => expect(requests('POST /api/checks').at(-1)?.body).toMatchObject({ request: { profile: 'tuned', overrides: {} } }))
})

it('finds an advanced key by a part of its name', async () => {
  openPage(<StartPage />, '/start')
  await userEvent.click(await screen.findByText('Advanced'))
  await userEvent.type(screen.getByLabelText('Look for a key'), 'epo')
  expect(screen.getByLabelText('learning.epochs')).toHaveValue('1')
  expect(screen.queryByLabelText('learning.mode')).not.toBeInTheDocument()
  expect(screen.queryByLabelText('runtime.workers')).not.toBeInTheDocument()
})

it('says who is missing, and that a request would wait', async () => {
  const missing = 'no claimant is there. Start one: fedforge agent'
  monitorAnswers({ ...answers, 'GET /api/offers': { offers: [] }, 'POST /api/checks': { answer: null, claimant: null, missing } })
  openPage(<StartPage />, '/start')
  expect(await screen.findByText(`fedforge agent --monitor ${location.origin}`)).toBeInTheDocument()
  await userEvent.type(screen.getByLabelText('Phase'), 'blood')
  expect(await screen.findByText(missing)).toBeInTheDocument()
  expect(screen.getByText('It waits until somebody takes it up.')).toBeInTheDocument()
  expect(screen.getByRole('button', { name: 'Ask for this run' })).toBeEnabled()
})

it('keeps its form while the address follows it, and begins anew where somebody comes to another address', async () => {
  const router = openPage(<StartPage />, '/start')
  const rounds = await screen.findByLabelText('Rounds')
  await userEvent.clear(rounds)
  await userEvent.type(rounds, '5')
  await waitFor(() => expect(router.state.location.search).toContain('federation.rounds'))
  expect(rounds).toBeInTheDocument()
  expect(rounds).toHaveFocus()
  await act(() => router.navigate('/start'))
  await waitFor(() => expect(screen.getByLabelText('Rounds')).toHaveValue('20'))
})
