import type { Frame } from '@/api/client'
import { follow, type Connection, type Listener, type World } from './stream'

class FakeSocket {
  onopen: (() => void) | null = null
  onmessage: ((message: { data: unknown }) => void) | null = null
  onclose: ((event: { code: number }) => void) | null = null
  closed = false
  readonly url: string
  constructor(url: string) {
    this.url = url
  }
  close() {
    this.closed = true
  }
  say(frame: object) {
    this.onmessage?.({ data: JSON.stringify(frame) })
  }
  drop(code = 1006) {
    this.onclose?.({ code })
  }
}

const NOW = '2026-11-30T12:00:00Z'
const hello = (after: number, last: number, database = 'one') => ({
  type: 'hello',
  run_id: 'r',
  database,
  after,
  last_seq: last,
  heartbeat_seconds: 10,
  now: NOW,
})

function setUp(begin: () => Promise<void> = () => Promise.resolve()) {
  const sockets: FakeSocket[] = []
  const connections: Connection[] = []
  const frames: Frame[] = []
  const said: string[] = []
  let cursor: number | null = null
  let now = 0
  const listener: Listener = {
    take: (taken) => {
      frames.push(...taken)
      for (const frame of taken) if (frame.type === 'events') cursor = frame.events.at(-1)!.seq
    },
    connection: (connection) => connections.push(connection),
    cursor: () => cursor,
    anew: (reason) => said.push(reason),
    begin: vi.fn(async () => {
      await begin()
      cursor = 7
    }),
  }
  const world: World = {
    now: () => now,
    open: (url) => {
      const socket = new FakeSocket(url)
      sockets.push(socket)
      return socket
    },
  }
  const end = follow('r', listener, world)
  return { sockets, connections, frames, said, listener, end, pass: (ms: number) => (now += ms) }
}

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test('it begins with everything, and goes on after it', async () => {
  const { sockets, listener, end } = setUp()
  await vi.advanceTimersByTimeAsync(0)
  expect(listener.begin).toHaveBeenCalledTimes(1)
  expect(sockets[0]!.url).toContain('run_id=r&after=7')
  end()
  expect(sockets[0]!.closed).toBe(true)
})

test('a connection that is lost comes back by itself, from the cursor, and says how often it was tried', async () => {
  const { sockets, connections, listener, end } = setUp()
  await vi.advanceTimersByTimeAsync(0)
  sockets[0]!.say(hello(7, 7))
  sockets[0]!.drop()
  expect(connections.at(-1)).toMatchObject({ kind: 'reconnecting', tries: 1 })
  await vi.advanceTimersByTimeAsync(300)
  expect(sockets).toHaveLength(2)
  expect(sockets[1]!.url).toContain('after=7')
  sockets[1]!.say(hello(7, 12))
  expect(connections.at(-1)).toEqual({ kind: 'replaying', left: 5 })
  expect(listener.begin).toHaveBeenCalledTimes(1)
  end()
})

test('another database is begun with anew, and nothing of it is shown before', async () => {
  const { sockets, frames, said, listener, end } = setUp()
  await vi.advanceTimersByTimeAsync(0)
  sockets[0]!.say(hello(7, 7))
  sockets[0]!.drop()
  await vi.advanceTimersByTimeAsync(300)
  sockets[1]!.say(hello(7, 3, 'two'))
  sockets[1]!.say({ type: 'events', events: [{ seq: 8 }] })
  await vi.advanceTimersByTimeAsync(300)
  expect(listener.begin).toHaveBeenCalledTimes(2)
  expect(said).toEqual(['Another database is behind this monitor now.'])
  expect(frames.some((frame) => frame.type === 'events')).toBe(false)
  expect(sockets).toHaveLength(3)
  end()
})

test('silence is noticed although nobody says that the connection is dead', async () => {
  const { sockets, connections, end, pass } = setUp()
  await vi.advanceTimersByTimeAsync(0)
  sockets[0]!.say(hello(7, 7))
  pass(15_000)
  await vi.advanceTimersByTimeAsync(2_000)
  expect(connections.some(({ kind }) => kind === 'stale')).toBe(true)
  expect(sockets[0]!.closed).toBe(true)
  await vi.advanceTimersByTimeAsync(300)
  expect(sockets).toHaveLength(2)
  end()
})

test('a tab that is looked at again looks at once whether it still hears', async () => {
  const { sockets, end, pass } = setUp()
  await vi.advanceTimersByTimeAsync(0)
  sockets[0]!.say(hello(7, 7))
  pass(3_600_000)
  document.dispatchEvent(new Event('visibilitychange'))
  await vi.advanceTimersByTimeAsync(0)
  expect(sockets).toHaveLength(2)
  end()
})

test('a monitor that does not answer is asked again and again', async () => {
  let tries = 0
  const { connections, sockets, end } = setUp(() => (++tries < 4 ? Promise.reject(new Error('away')) : Promise.resolve()))
  await vi.advanceTimersByTimeAsync(20_000)
  expect(connections.filter(({ kind }) => kind === 'reconnecting')).toHaveLength(3)
  expect(sockets).toHaveLength(1)
  end()
})

test('of a run that is not there nothing more is asked', async () => {
  const { sockets, connections, end } = setUp()
  await vi.advanceTimersByTimeAsync(0)
  sockets[0]!.drop(4004)
  await vi.advanceTimersByTimeAsync(60_000)
  expect(connections.at(-1)).toEqual({ kind: 'unknown run' })
  expect(sockets).toHaveLength(1)
  end()
})
