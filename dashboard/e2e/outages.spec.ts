import { expect, listen, sayName, test } from './fixtures'
import { Monitor } from './monitor'

interface Events {
  events: { seq: number }[]
}

test('a monitor that is killed: what is shown is stale and says so, and then it is whole again', async ({ page, monitor }) => {
  monitor.run('outlived', '--rounds', '300')
  await page.goto(`${monitor.url}/runs/outlived`)
  await expect(page.getByRole('status', { name: 'Connection: live' })).toBeVisible()
  const pause = page.getByRole('button', { name: 'pause', exact: true })
  await expect(pause).toHaveAttribute('aria-disabled', 'false')

  await monitor.kill()
  await expect(page.getByRole('status', { name: /stale for .*reconnecting/ })).toBeVisible()
  await expect(pause).toHaveAttribute('aria-disabled', 'true')
  await expect(pause).toHaveAttribute('title', /connection is lost/)
  await expect(page.getByText(/ of 300/)).toBeVisible() // what was known stays, in grey
  await expect(page.locator('[data-stale]')).toHaveCount(1)

  await monitor.start()
  await expect(page.getByRole('status', { name: 'Connection: live' })).toBeVisible()
  await expect(pause).toHaveAttribute('aria-disabled', 'false')
  await pause.click()
  await sayName(page)
  await monitor.comesTo('outlived', 'paused')

  // Each event is shown once, and none is missing.
  const { events } = await monitor.get<Events>('/api/runs/outlived/events?order=newest&limit=40')
  await page.getByLabel('Heartbeats').check()
  for (const { seq } of events.slice(0, 6)) await expect(page.getByTitle(new RegExp(`, event ${seq}$`))).toHaveCount(1)
})

test('two browsers: what one does the other shows, and both together are one command', async ({ page, monitor, browser }) => {
  monitor.run('shared', '--rounds', '300')
  await monitor.comesTo('shared', 'running')
  const other = await browser.newPage()
  const complaints = listen(other)
  const pages = [page, other]
  for (const each of pages) {
    await each.goto(`${monitor.url}/runs/shared`)
    await each.getByRole('button', { name: 'Your name' }).click()
    await sayName(each, each === page ? 'Ada' : 'Grace')
    await expect(each.getByRole('button', { name: 'pause', exact: true })).toHaveAttribute('aria-disabled', 'false')
  }
  await Promise.all(pages.map((each) => each.getByRole('button', { name: 'pause', exact: true }).click()))
  for (const each of pages) await expect(each.getByRole('button', { name: 'resume', exact: true })).toHaveAttribute('aria-disabled', 'false')
  const { commands } = await monitor.get<{ commands: unknown[] }>('/api/runs/shared/commands')
  expect(commands).toHaveLength(1)
  expect(complaints.filter((each) => !each.includes('409'))).toEqual([])
  await other.close()
})

test('a page of another origin can neither read nor start anything', async ({ page, monitor }) => {
  await page.route('http://elsewhere.example/', (route) => route.fulfill({ contentType: 'text/html', body: '<p>elsewhere' }))
  await page.goto('http://elsewhere.example/')
  const tried = await page.evaluate(async (url) => {
    const read = await fetch(`${url}/api/runs`).then(() => 'read', () => 'refused')
    const body = JSON.stringify({ run_id: 'taken', request: { phase: 'blood' } })
    await fetch(`${url}/api/runs`, { method: 'POST', mode: 'no-cors', body }).catch(() => null)
    const socket = await new Promise((told) => {
      const opened = new WebSocket(`${url.replace('http', 'ws')}/api/stream`)
      opened.onmessage = () => told('read')
      opened.onclose = () => told('refused')
    })
    return [read, socket]
  }, monitor.url)
  expect(tried).toEqual(['refused', 'refused'])
  expect((await monitor.get<{ runs: unknown[] }>('/api/runs')).runs).toEqual([])
})

test('where a token is needed it is asked for once, and traded for a session', async ({ page }) => {
  const monitor = new Monitor('a token that is long enough')
  await monitor.start()
  try {
    await page.goto(monitor.url)
    const dialog = page.getByRole('dialog', { name: 'This monitor asks who you are' })
    await dialog.getByLabel('Name').fill('Ada')
    await dialog.getByLabel('Token').fill('another token, that is wrong')
    await dialog.getByRole('button', { name: 'Enter' }).click()
    await expect(dialog.getByRole('alert')).toContainText('does not know this token')
    await dialog.getByLabel('Token').fill('a token that is long enough')
    await dialog.getByRole('button', { name: 'Enter' }).click()
    await expect(page.getByText('There has been no run yet.')).toBeVisible()
    await page.reload()
    await expect(page.getByText('There has been no run yet.')).toBeVisible()
    await expect(page.getByRole('status', { name: 'Connection: live' })).toBeVisible()
    expect(page.url()).not.toContain('token')
    await page.getByRole('button', { name: 'Leave' }).click()
    await expect(dialog).toBeVisible()
  } finally {
    await monitor.stop()
  }
})
