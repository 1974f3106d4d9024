import { monitorAnswers } from '@/test/monitor'
import { screen, waitFor, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { expect, it } from 'vitest'
import { openPage } from '@/test/page'
import ComparePage from './compare-page'

const SESSION = { required: false, right: 'operator', name: 'Ada', expires_at: null }
const view = (run_id: string, changes: object = {}) => ({
  run_id, phase: 'blood', state: 'completed', stalled: false, round: 2, rounds_total: 2, clients: 2, model_sha256: 'f'.repeat(64),
  created_at: '2026-11-24T09:30:00Z', stand_ins: ['phantom_data'], ...changes,
})
const series = { round: [1, 2], columns: { accuracy: [0.5, 0.6] }, sites: [] }
const data = { site_data: 'partition', phantom: true, fingerprint: 'f', rows: { test: 120 } }

function told(accuracy: number, rounds: number, about: object = {}) {
  const described = {
    type: 'run_described', phase: 'blood', configuration: { federation: { rounds } }, data, backbone: { name: 'untrained' },
    code: { version: '0.1', commit: 'c', packages: {} }, ...about,
  }
  const evaluated = {
    type: 'run_evaluated', metrics: { accuracy }, intervals: { accuracy: { low: accuracy - 0.1, high: accuracy + 0.1 } }, level: 0.95, rows: 120,
  }
  const site = { type: 'site_evaluated', node_id: 'client-1', rows: 9, metrics: { accuracy }, intervals: {} }
  return { events: [described, evaluated, site].map((event, place) => ({ seq: place + 1, event })), next_after: null }
}

function two(a: object, b: object) {
  monitorAnswers({
    'GET /api/session': SESSION,
    'GET /api/runs/a': view('a'), 'GET /api/runs/a/series': series, 'GET /api/runs/a/events': a,
    'GET /api/runs/b': view('b'), 'GET /api/runs/b/series': series, 'GET /api/runs/b/events': b,
    'GET /api/runs': (_: unknown, search: URLSearchParams) => ({
      runs: ['derma-1', 'blood-new', 'blood-old'].filter((run) => run.includes(search.get('text') ?? '')).map((run) => view(run)),
      next_cursor: null,
      counts: {},
    }),
  })
}

it('says that nothing differs', async () => {
  two(told(0.8, 3), told(0.8, 3))
  openPage(<ComparePage />, '/compare?a=a&b=b')
  expect(await screen.findByText(/Both models are the same, byte for byte\. No difference: every score is the same\./)).toBeInTheDocument()
  expect(screen.getAllByText('PHANTOM DATA')).toHaveLength(2)
  expect(screen.getByText(/No difference in configuration \(1\), data \(4\)/)).toBeInTheDocument()
})

it('shows signed differences, and that one is not telling where intervals overlap', async () => {
  two(told(0.8, 3), told(0.7, 5))
  openPage(<ComparePage />, '/compare?a=a&b=b')
  const scores = await screen.findByRole('table', { name: 'Scores of A and B' })
  expect(within(scores).getByRole('row', { name: /accuracy/ })).toHaveTextContent(/80\.0 %.*70\.0 %.*−10\.0worseno, intervals overlap/)
  const made = screen.getByRole('table', { name: /What the runs are made of/ })
  expect(within(made).getByRole('row', { name: /federation\.rounds/ })).toHaveTextContent('federation.rounds35')
  const sites = screen.getByRole('table', { name: /Change of accuracy at each site/ })
  expect(within(sites).getByRole('row', { name: /Site 1/ })).toHaveTextContent(/−10\.0worseno interval/)
})

it('does not judge runs by scores over other test data', async () => {
  two(told(0.8, 3), told(0.2, 3, { phase: 'derma', data: { ...data, fingerprint: 'g' } }))
  openPage(<ComparePage />, '/compare?a=a&b=b')
  expect(await screen.findByText(/can’t be compared by score: their phases differ \(blood, derma\), and their images differ\./)).toBeInTheDocument()
  expect(screen.queryByText('worse')).not.toBeInTheDocument()
  expect(screen.getAllByText('not comparable').length).toBeGreaterThan(0)
})

it('has the curves as a table', async () => {
  two(told(0.8, 3), told(0.7, 3))
  openPage(<ComparePage />, '/compare?a=a&b=b')
  await userEvent.click(await screen.findByRole('button', { name: 'As a table' }))
  const table = screen.getByRole('table', { name: 'Metrics of both runs by global round' })
  expect(within(table).getAllByRole('row')[2]).toHaveTextContent('260.0 %60.0 %')
})

it('finds runs by what is typed, with the keys alone, and keeps them in the address', async () => {
  two(told(0.8, 3), told(0.7, 3))
  const router = openPage(<ComparePage />, '/compare')
  const picker = await screen.findByRole('combobox', { name: 'Run A' })
  await userEvent.type(picker, 'blo')
  await screen.findByRole('option', { name: /blood-new/ })
  await waitFor(() => expect(screen.queryByRole('option', { name: /derma/ })).not.toBeInTheDocument())
  await userEvent.keyboard('{ArrowDown}{Enter}')
  expect(router.state.location.search).toBe('?a=blood-old')
  expect(picker).toHaveAttribute('aria-expanded', 'false')
})
