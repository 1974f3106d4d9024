import { test } from '@playwright/test'
import { expect, expectAccessible, listen } from './fixtures'

// The stack of docker-compose.yml, which `make docker-smoke` has brought up: its dashboard, and the operators' token.
const origin = process.env.FEDFORGE_STACK ?? ''
const token = process.env.FEDFORGE_STACK_TOKEN ?? ''
const shots = process.env.FEDFORGE_STACK_SHOTS

test('start, pause, resume and stop by click, in front of containers', async ({ page }) => {
  const complaints = listen(page)
  const shoot = async (name: string) => {
    if (shots !== undefined) await page.screenshot({ path: `${shots}/${name}.png` })
  }
  await page.goto(origin)
  const session = page.getByRole('dialog')
  await session.getByLabel('Token').fill(token)
  await shoot('session')
  await session.getByLabel('Name').fill('Ada')
  await session.getByRole('button', { name: 'Enter' }).click()
  await expect(session).toBeHidden()
  await expect(page.getByRole('heading', { name: 'Overview' })).toBeAttached()
  await shoot('overview')

  await page.goto(`${origin}/sites`)
  await expect(page.getByText('on line', { exact: true })).toHaveCount(3)
  await expectAccessible(page)
  await shoot('sites')

  await page.goto(`${origin}/start?set=${encodeURIComponent('dataset.limit=600')}`)
  await expect(page.getByText('takes it')).toBeVisible()
  await expect(page.getByLabel('Sites', { exact: true })).toHaveValue('3')
  await page.getByLabel('Rounds').fill('400')
  await shoot('start')
  const runId = await page.getByLabel('Name of the run').inputValue()
  await page.getByRole('button', { name: 'Start this run' }).click()
  await expect(page).toHaveURL(new RegExp(`/runs/${runId}$`))

  const pause = page.getByRole('button', { name: 'pause', exact: true })
  const resume = page.getByRole('button', { name: 'resume', exact: true })
  await expect(page.locator('.react-flow__node')).toHaveCount(4)
  await expect(page.getByText(/\b([2-9]|\d\d+) of 400/).first()).toBeVisible()
  await shoot('run')
  await pause.click()
  await expect(page.getByText(/pause asked for by Ada .* → effective at round \d+/)).toBeVisible()
  await expectAccessible(page)
  await resume.click()
  await expect(page.getByText(/resume asked for by Ada .* → effective/)).toBeVisible()
  await page.getByRole('button', { name: 'stop', exact: true }).click()
  await page.getByRole('button', { name: 'Stop the run' }).click()
  await expect(page.getByText(/^Stopped: /)).toBeVisible()
  await shoot('stopped')
  expect(complaints.filter((each) => !each.includes('401 (Unauthorized)'))).toEqual([])
})
