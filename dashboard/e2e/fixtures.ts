import AxeBuilder from '@axe-core/playwright'
import { test as base, expect, type Page } from '@playwright/test'
import { Monitor } from './monitor'

interface Worlds {
  monitor: Monitor
  /** What the console and the network had to complain of, as it comes. */
  complaints: string[]
}

// oxlint-disable no-empty-pattern -- Playwright reads from the pattern what a fixture needs
export const test = base.extend<Worlds>({
  monitor: async ({}, lend) => {
    const monitor = new Monitor()
    await monitor.start()
    await lend(monitor)
    await monitor.stop()
  },
  complaints: async ({ page }, lend) => {
    const complaints = listen(page)
    await lend(complaints)
  },
})

/** What a page's console and network complain of. */
export function listen(page: Page): string[] {
  const complaints: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('requestfailed', (request) => {
    const reason = request.failure()?.errorText ?? ''
    if (!reason.includes('ERR_ABORTED')) complaints.push(`${request.url()}: ${reason}`) // a page gives up what it needs no more
  })
  return complaints
}

/** Say a name when it is asked for, once. */
export async function sayName(page: Page, name = 'Ada'): Promise<void> {
  const dialog = page.getByRole('dialog', { name: 'Your name' })
  await dialog.getByLabel('Name').fill(name)
  await dialog.getByRole('button', { name: 'Keep this name' }).click()
  await expect(dialog).toBeHidden()
}

/** What axe finds wrong with a page, in both themes. */
export async function expectAccessible(page: Page): Promise<void> {
  for (const theme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' })
    await expect(page.locator('html')).toHaveClass(theme === 'dark' ? /dark/ : /^(?!.*dark)/)
    const found = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']).analyze()
    const said = found.violations.map(
      ({ id, nodes }) => `${theme} ${id}: ${nodes.map((node) => `${node.target.join(' ')} ${node.failureSummary ?? ''}`).join(' | ')}`,
    )
    expect(said).toEqual([])
  }
}

export { expect }
