/** Where the sites stand around the server: rings that are wider than high, as screens are. */

export interface Place {
  readonly x: number
  readonly y: number
}

const FIRST_RING = 12
const MORE_A_RING = 8

/** The middle of each of `count` sites whose cards have a size; the server stands at 0, 0. */
export function placesOf(count: number, width: number, height: number): Place[] {
  const places: Place[] = []
  let ring = 0
  while (places.length < count) {
    const room = FIRST_RING + MORE_A_RING * ring
    const here = Math.min(room, count - places.length)
    const wanted = (here * (width + 16)) / (2 * Math.PI)
    const across = Math.max(wanted, width * 1.25 + ring * (width + 18), 150)
    const down = Math.max(across * 0.5, height * 2.3 + ring * (height + 22))
    for (let place = 0; place < here; place++) {
      const angle = -Math.PI / 2 + ((place + (ring % 2) / 2) / here) * 2 * Math.PI
      places.push({ x: Math.cos(angle) * across, y: Math.sin(angle) * down })
    }
    ring += 1
  }
  return places
}

/** Rows of as many places as a picture of a given shape takes, for more sites than have room for cards. */
export function gridOf(count: number, aspect: number): { columns: number; rows: number } {
  const columns = Math.max(1, Math.ceil(Math.sqrt(count * aspect)))
  return { columns, rows: Math.ceil(count / columns) }
}
