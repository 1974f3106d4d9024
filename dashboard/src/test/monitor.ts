import { vi } from 'vitest'

/** What the monitor answers: content, or a function of what was sent; by method and path, `GET /api/offers`. */
export type Answers = Record<string, unknown>

export interface Asked {
  request: string
  search: string
  body: unknown
}

let answers: Answers = {}
export const asked: Asked[] = []

/** A refusal, as the monitor words one. */
export class Refusal {
  readonly status: number
  readonly error: string
  constructor(status: number, error: string) {
    this.status = status
    this.error = error
  }
}

/** Imported before the client, which keeps the `fetch` that it finds. */
globalThis.fetch = vi.fn(async (input: RequestInfo | URL, init?: RequestInit) => {
  const request = new Request(input, init)
  const url = new URL(request.url)
  const name = `${request.method} ${url.pathname}`
  const text = await request.text()
  const body: unknown = text === '' ? null : JSON.parse(text)
  asked.push({ request: name, search: url.search, body })
  const known: unknown = answers[name] ?? new Refusal(404, `nothing answers ${name}`)
  const answer: unknown = typeof known === 'function' ? await (known as (body: unknown, search: URLSearchParams) => unknown)(body, url.searchParams) : known
  if (answer instanceof Refusal) return Response.json({ error: answer.error, state: null, allowed: null }, { status: answer.status })
  return Response.json(answer)
})

export function monitorAnswers(known: Answers): void {
  answers = known
  asked.length = 0
}

export function requests(name: string): Asked[] {
  return asked.filter((each) => each.request === name)
}
