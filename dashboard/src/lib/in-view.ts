import { useEffect, useState, type RefObject } from 'react'

/** Whether an element is on the screen, or nearly: what is not need not be drawn. */
export function useInView(element: RefObject<Element | null>): boolean {
  const [seen, setSeen] = useState(typeof IntersectionObserver === 'undefined')
  useEffect(() => {
    if (element.current === null || typeof IntersectionObserver === 'undefined') return
    const observer = new IntersectionObserver(([entry]) => setSeen(entry?.isIntersecting ?? true), { rootMargin: '80px' })
    observer.observe(element.current)
    return () => observer.disconnect()
  }, [element])
  return seen
}
