import { createBatcher } from './batcher'

test('what comes together is handed on together, in its order', async () => {
  const taken: number[][] = []
  await new Promise<void>((done) => {
    const batcher = createBatcher<number>((items) => {
      taken.push(items)
      done()
    }, 5)
    for (let item = 0; item < 100; item++) batcher.push(item)
  })
  expect(taken).toEqual([[...Array(100).keys()]])
})

test('a hidden tab, which has no frames, is served by a timer', async () => {
  const hidden = vi.spyOn(document, 'hidden', 'get').mockReturnValue(true)
  const frames = vi.spyOn(globalThis, 'requestAnimationFrame')
  const items = await new Promise<number[]>((done) => createBatcher<number>(done, 5).push(1))
  expect(items).toEqual([1])
  expect(frames).not.toHaveBeenCalled()
  hidden.mockRestore()
})

test('a queue that is full is handed on at once', () => {
  const taken: number[][] = []
  const batcher = createBatcher<number>((items) => taken.push(items), 1_000_000, 3)
  for (const item of [1, 2, 3]) batcher.push(item)
  expect(taken).toEqual([[1, 2, 3]])
})

test('what is dropped is not handed on', () => {
  const taken: number[][] = []
  const batcher = createBatcher<number>((items) => taken.push(items), 1_000_000)
  batcher.push(1)
  batcher.drop()
  batcher.flush()
  expect(taken).toEqual([])
})
