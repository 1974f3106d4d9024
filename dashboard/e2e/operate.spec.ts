import { expect, expectAccessible, sayName, test } from './fixtures'
import { realBackbone, realData } from './monitor'

test('from the form to the result: start, watch, pause, resume, look closer, go back, link, stop', async ({
  page,
  monitor,
  complaints,
  context,
}) => {
  monitor.agent()
  await page.goto(monitor.url)
  await expect(page.getByText('There has been no run yet.')).toBeVisible()
  await expectAccessible(page)

  await page.goto(`${monitor.url}/start?set=${encodeURIComponent('dataset.limit=400')}`)
  await expect(page.getByText('takes it')).toBeVisible()
  await page.getByLabel('Images').selectOption(realData === null ? 'phantom' : 'medmnist')
  await page.getByLabel('Backbone').selectOption(realBackbone === null ? 'untrained' : 'deit')
  await page.getByLabel('Sites', { exact: true }).fill('3')
  await page.getByLabel('Rounds').fill('400')
  await expect(page.getByText('valid', { exact: true })).toBeVisible()
  await expectAccessible(page)
  const runId = await page.getByLabel('Name of the run').inputValue()
  await page.getByRole('button', { name: 'Start this run' }).click()
  await sayName(page)

  await expect(page).toHaveURL(new RegExp(`/runs/${runId}$`))
  await expect(page.getByRole('heading', { name: 'Preparation' })).toBeVisible()
  await expect(page.getByRole('status').filter({ hasText: 'live' })).toBeVisible()
  const pause = page.getByRole('button', { name: 'pause', exact: true })
  const resume = page.getByRole('button', { name: 'resume', exact: true })
  await expect(resume).toHaveAttribute('aria-disabled', 'true')
  await expect(page.locator('.react-flow__node')).toHaveCount(4)
  await expect(pause).toHaveAttribute('aria-disabled', 'false')

  await pause.dblclick() // twice is once
  await expect(page.getByText(/pause asked for by Ada .* → effective at round \d+/)).toBeVisible()
  await expect(resume).toHaveAttribute('aria-disabled', 'false')
  const history = await monitor.get<{ commands: unknown[] }>(`/api/runs/${runId}/commands`)
  expect(history.commands).toHaveLength(1)
  await expectAccessible(page)

  await page.getByRole('tab', { name: 'Sites' }).click()
  await page.getByRole('button', { name: 'Site 1', exact: true }).click()
  const drawer = page.getByRole('dialog', { name: 'Site 1' })
  await expect(drawer.getByText('What was heard of it')).toBeVisible()
  await expect(page).toHaveURL(/node=client-1/)
  await expectAccessible(page)
  await page.keyboard.press('Escape')
  await expect(drawer).toBeHidden()

  await resume.click()
  await expect(page.getByText(/resume asked for by Ada .* → effective/)).toBeVisible()

  const slider = page.getByRole('slider', { name: 'Moment that is shown' })
  await slider.focus()
  for (let round = 0; round < 3; round++) await page.keyboard.press('Shift+ArrowLeft')
  await expect(page).toHaveURL(/at=\d+/)
  await expect(pause).toHaveAttribute('aria-disabled', 'true')
  const past = await slider.getAttribute('aria-valuetext')
  const shown = await page.getByLabel('Where you are').locator('xpath=ancestor::header').getByText(/ of 400/).textContent()

  const other = await context.newPage()
  await other.goto(page.url())
  await expect(other.getByRole('slider')).toHaveAttribute('aria-valuetext', past!)
  await expect(other.getByText(/ of 400/)).toHaveText(shown!)
  await other.close()

  await slider.focus()
  await page.keyboard.press('Escape')
  await expect(page).not.toHaveURL(/at=/)

  await page.getByRole('button', { name: 'stop', exact: true }).click()
  await page.getByRole('button', { name: 'Let it run' }).click()
  await page.getByRole('button', { name: 'stop', exact: true }).click()
  await page.getByRole('button', { name: 'Stop the run' }).click()
  await expect(page.getByText(/^Stopped: /)).toBeVisible()
  expect(complaints).toEqual([])
})

test('what came out is said in plain words, with what it lies between', async ({ page, monitor, complaints }) => {
  monitor.run('finished', '--rounds', '4')
  await monitor.comesTo('finished', 'completed')
  await page.goto(`${monitor.url}/runs/finished`)
  await expect(page.getByText(/test rows of generated images \(PHANTOM DATA\) the final model is right on/)).toBeVisible()
  await expect(page.getByText('PHANTOM DATA · UNTRAINED BACKBONE')).toBeVisible()
  await expect(page.getByText('It is not a medical device.')).toBeVisible()
  await expect(page.getByRole('table', { name: 'Confusion matrix' })).toBeVisible()
  await expect(page).toHaveTitle(/completed 4\/4 · finished/)
  await expectAccessible(page)
  for (const tab of ['Metrics', 'Rounds', 'Sites']) {
    await page.getByRole('tab', { name: tab }).click()
    await expectAccessible(page)
  }
  await page.getByRole('searchbox', { name: 'Search events' }).fill('aggregation_started')
  await expect(page.getByText('The server combines what the sites have sent.').first()).toBeVisible()
  await expect(page.getByText('begins to train')).toHaveCount(0)

  const report = await page.request.get(`${monitor.url}/api/runs/finished/report`)
  expect(report.ok()).toBe(true)
  for (const path of ['/', '/sites', '/compare?a=finished&b=finished', '/start?like=finished']) {
    await page.goto(`${monitor.url}${path}`)
    await expect(page.getByRole('heading').first()).toBeAttached()
    await expect(page.getByRole('status').filter({ hasText: / …$/ })).toHaveCount(0)
    await expectAccessible(page)
  }
  await page.setViewportSize({ width: 320, height: 700 })
  for (const path of ['/', '/runs/finished', '/sites', '/compare?a=finished&b=finished', '/start']) {
    await page.goto(`${monitor.url}${path}`)
    await expect(page.getByRole('navigation', { name: 'Pages' })).toBeVisible()
    const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
    await expect.poll(overflow, { message: `${path} is as narrow as a telephone` }).toBe(0)
  }
  expect(complaints.filter((each) => !each.includes('400 (Bad Request)'))).toEqual([])
})
