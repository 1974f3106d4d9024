import { defineConfig } from '@playwright/test'

const patience = Number(process.env.FEDFORGE_TEST_PATIENCE ?? 600) * 1000

// One worker: each test has a monitor, and some have runs, on the two cores of a small machine.
export default defineConfig({
  testDir: './e2e',
  workers: 1,
  retries: 0,
  timeout: patience,
  expect: { timeout: Math.min(patience, 120_000) },
  reporter: [['list']],
  outputDir: 'test-results',
  use: {
    viewport: { width: 1440, height: 900 },
    trace: 'retain-on-failure',
    launchOptions: {
      ...(process.env.CHROMIUM_PATH ? { executablePath: process.env.CHROMIUM_PATH } : {}),
      args: [
        '--no-sandbox',
        '--disable-dev-shm-usage',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    },
  },
  projects: [
    { name: 'tests', testIgnore: /screenshots|stack/ },
    { name: 'screenshots', testMatch: /screenshots/ },
    { name: 'stack', testMatch: /stack/ }, // `make docker-smoke` brings one up
  ],
})
