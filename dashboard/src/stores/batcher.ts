/**
 * Collects what comes and hands it on at most once per `ms`, with a frame of the screen.
 * Hidden tabs have no frames: there a timer does, and what has queued up is handed on in one piece.
 */
export interface Batcher<T> {
  push: (item: T) => void
  flush: () => void
  drop: () => void
}

export function createBatcher<T>(take: (items: T[]) => void, ms = 100, most = 20_000): Batcher<T> {
  let queue: T[] = []
  let timer: ReturnType<typeof setTimeout> | undefined
  let frame: number | undefined

  const settle = () => {
    clearTimeout(timer)
    if (frame !== undefined) cancelAnimationFrame(frame)
    timer = frame = undefined
  }
  const flush = () => {
    settle()
    const items = queue
    queue = []
    if (items.length > 0) take(items)
  }
  return {
    push(item) {
      queue.push(item)
      if (queue.length >= most) flush()
      else
        timer ??= setTimeout(() => {
          if (document.hidden) flush()
          else frame = requestAnimationFrame(flush)
        }, ms)
    },
    flush,
    drop() {
      settle()
      queue = []
    },
  }
}
