/** `make screenshots`: each page, both themes, three widths, from real runs; looked at by people, compared by nobody. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from './fixtures'
import { realBackbone, realData } from './monitor'

const FOLDER = process.env.FEDFORGE_SCREENSHOTS ?? join(import.meta.dirname, '../screenshots')
const WIDTHS = { wide: [1440, 900], medium: [1024, 768], narrow: [390, 844] } as const
const IMAGES = [...(realData === null ? [] : ['--data', realData]), ...(realBackbone === null ? [] : ['--backbone', realBackbone])]

test('screenshots', async ({ page, monitor, complaints }) => {
  mkdirSync(FOLDER, { recursive: true })
  await page.emulateMedia({ reducedMotion: 'no-preference' })
  monitor.run('blood-first', ...IMAGES, '--clients', '5', '--rounds', '25', '--set', 'dataset.limit=1200')
  await monitor.comesTo('blood-first', 'completed')
  await monitor.until(async () => (await fetch(`${monitor.url}/api/runs/blood-first/report`)).ok)
  monitor.run('blood-second', ...IMAGES, '--clients', '5', '--rounds', '2000', '--seed', '3', '--set', 'dataset.limit=1200')
  monitor.agent()
  await monitor.until(async () => (await monitor.get<{ round: number }>('/api/runs/blood-second')).round >= 12)
  const { last_seq: seq } = await monitor.get<{ last_seq: number }>('/api/runs/blood-second')
  const pages = {
    overview: '/',
    'run-live': '/runs/blood-second',
    'run-rounds': '/runs/blood-second?tab=rounds&node=client-2',
    'run-past': `/runs/blood-second?tab=metrics&at=${Math.round(seq / 2)}`,
    'run-result': '/runs/blood-first',
    'run-sites': '/runs/blood-first?tab=sites',
    sites: '/sites',
    compare: '/compare?a=blood-first&b=blood-second',
    start: '/start',
  }
  for (const [width, [across, down]] of Object.entries(WIDTHS))
    for (const theme of ['light', 'dark'] as const)
      for (const [name, path] of Object.entries(pages)) {
        await page.setViewportSize({ width: across, height: down })
        await page.emulateMedia({ colorScheme: theme })
        await page.goto(`${monitor.url}${path}`)
        await expect(page.getByRole('status').filter({ hasText: / …$/ })).toHaveCount(0)
        if (path.includes('at=')) await expect(page.getByText('back to live').first()).toBeVisible()
        await page.evaluate(() => document.fonts.ready)
        await page.waitForTimeout(700) // what moves is on its way
        await page.screenshot({ path: join(FOLDER, `${name}-${width}-${theme}.png`) })
      }
  expect(complaints.filter((each) => !each.includes('400 (Bad Request)'))).toEqual([])
})
