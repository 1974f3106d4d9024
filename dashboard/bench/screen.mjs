// Measures the dashboard in a browser: `node bench/screen.mjs PROGRAM '{"url": …}'` prints its figures as JSON.
// Programs: live, open, heap. `benchmarks/dashboard.py` starts the monitor and whoever sends to it.
import { chromium } from '@playwright/test'
import { existsSync } from 'node:fs'

const [program, given] = process.argv.slice(2)
const arguments_ = JSON.parse(given)
const debian = existsSync('/usr/bin/chromium') ? '/usr/bin/chromium' : undefined
const executablePath = process.env.CHROMIUM_PATH || debian
const browser = await chromium.launch({
  ...(executablePath ? { executablePath } : {}),
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--enable-precise-memory-info', '--js-flags=--expose-gc'],
})

/** A page that counts its frames, and knows when each event reached the monitor. */
async function opened() {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } })
  await page.addInitScript(() => {
    const frames = (window.__frames = [])
    const seen = (window.__seen = { newest: 0, latencies: [] })
    const received = new Map()
    const Native = window.WebSocket
    window.WebSocket = class extends Native {
      constructor(...words) {
        super(...words)
        this.addEventListener('message', ({ data }) => {
          if (!String(data).startsWith('{"type":"events"')) return
          for (const { seq, received_at, event } of JSON.parse(data).events)
            if (event.type !== 'node_heartbeat') received.set(seq, Date.parse(received_at))
        })
      }
    }
    const step = (now) => {
      frames.push(now)
      const first = document.querySelector('[role=log] li button')
      const newest = Number(/event (\d+)$/.exec(first?.title ?? '')?.[1] ?? 0)
      if (newest > seen.newest) {
        for (const [seq, at] of received)
          if (seq <= newest) {
            received.delete(seq)
            if (seen.newest > 0) seen.latencies.push(Date.now() - at)
          }
        seen.newest = newest
      }
      requestAnimationFrame(step)
    }
    requestAnimationFrame(step)
  })
  return page
}

async function framesOf(page, seconds) {
  await page.evaluate(() => {
    window.__frames.length = 0
    window.__seen.latencies.length = 0
  })
  await page.waitForTimeout(seconds * 1000)
  return page.evaluate(() => {
    const gaps = window.__frames.slice(1).map((now, place) => now - window.__frames[place])
    const latencies = window.__seen.latencies.toSorted((a, b) => a - b)
    return {
      frames_per_second: (1000 * gaps.length) / gaps.reduce((sum, gap) => sum + gap, 0),
      longest_frame_ms: Math.max(...gaps),
      event_to_screen_p50_ms: latencies[Math.floor(latencies.length * 0.5)] ?? null,
      event_to_screen_p95_ms: latencies[Math.floor(latencies.length * 0.95)] ?? null,
      events: latencies.length,
    }
  })
}

/** Frames of an empty page, then of a run that is live, in the same browser. */
async function live({ url, run_id, seconds }) {
  const empty = await opened()
  await empty.goto('about:blank')
  const before = await framesOf(empty, seconds)
  await empty.close()
  const page = await opened()
  await page.goto(`${url}/runs/${run_id}`)
  await page.waitForSelector('[role=log] li button')
  await page.waitForTimeout(4000)
  const figures = await framesOf(page, seconds)
  return { ...figures, empty_frames_per_second: before.frames_per_second, frames_kept: figures.frames_per_second / before.frames_per_second }
}

/** Until a run that is over is complete on the screen: state, picture, curves, log. */
async function open({ url, run_id, tab }) {
  const warm = await opened()
  await warm.goto(url) // the files of the page are in the browser's memory, as they are of whoever comes back
  await warm.waitForSelector('table')
  await warm.close()
  const page = await opened()
  const began = performance.now()
  await page.goto(`${url}/runs/${run_id}?tab=${tab}`)
  await Promise.all([
    page.waitForSelector('[role=log] li button'),
    page.waitForSelector('.react-flow__node, canvas'),
    page.waitForSelector('.recharts-line-curve'),
    page.waitForSelector('h1'),
  ])
  const seconds = (performance.now() - began) / 1000
  const travelled = performance.now()
  await page.getByRole('button', { name: 'A round back' }).click()
  await page.waitForURL(/at=\d+/)
  return { open_seconds: seconds, first_step_back_seconds: (performance.now() - travelled) / 1000 }
}

/** How much the heap grows while events come; it begins and ends on a line of standard input. */
async function heap({ url, run_id }) {
  const page = await opened()
  const session = await page.context().newCDPSession(page)
  const used = async () => {
    for (let time = 0; time < 3; time++) await session.send('HeapProfiler.collectGarbage')
    const { usedSize, backingStorageSize = 0 } = await session.send('Runtime.getHeapUsage')
    return (usedSize + backingStorageSize) / 1e6
  }
  await page.goto(`${url}/runs/${run_id}`)
  await page.waitForSelector('[role=log] li button')
  await line()
  const before = await used()
  process.stderr.write('looked\n')
  await line()
  const after = await used()
  const round = page.getByRole('slider', { name: 'Moment that is shown' })
  const box = await round.boundingBox()
  await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2)
  await page.waitForURL(/at=\d+/)
  const past = await page.locator('dt', { hasText: 'Global round' }).locator('xpath=following-sibling::dd').textContent()
  return { heap_before_mb: before, heap_after_mb: after, heap_growth_mb: after - before, past_round: Number.parseInt(past, 10) }
}

function line() {
  return new Promise((heard) => process.stdin.once('data', heard))
}

try {
  const figures = await { live, open, heap }[program](arguments_)
  process.stdout.write(`${JSON.stringify(figures)}\n`)
} finally {
  await browser.close()
  process.stdin.destroy()
}
