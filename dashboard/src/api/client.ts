/** The one way to the monitor: its types are generated from its own description. */
import createClient from 'openapi-fetch'
import type { components, paths } from './schema'

type Schemas = components['schemas']
export type Event = Schemas['RecordedEvent']['event']
export type EventType = Event['type']
export type EventOf<T extends EventType> = Extract<Event, { type: T }>
export type Frame = Schemas['StreamFrame']
export type Problem = Schemas['Problem']

export const api = createClient<paths>({ baseUrl: location.origin })

/** That the monitor refused, or could not be reached: `message` says why and what can be done. */
export class ApiError extends Error {
  /** Of HTTP; 0 where nothing was answered. */
  readonly status: number
  readonly problem: Problem | undefined

  constructor(status: number, message: string, problem?: Problem) {
    super(message)
    this.name = 'ApiError'
    this.status = status
    this.problem = problem
  }
}

interface Answer<T> {
  data?: T
  error?: unknown
  response: Response
}

/** The answer's content; of a refusal its own words. */
export async function told<T>(asking: Promise<Answer<T>>): Promise<T> {
  let answer: Answer<T>
  try {
    answer = await asking
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error
    throw new ApiError(0, 'The monitor does not answer. Is it running, and is the network there? It is asked again.')
  }
  if (answer.response.ok) return answer.data as T
  const problem = isProblem(answer.error) ? answer.error : undefined
  const status = answer.response.status
  if (status === 401) sessionEnded()
  throw new ApiError(status, problem?.error ?? `The monitor answers ${status} and does not say why.`, problem)
}

function isProblem(value: unknown): value is Problem {
  return typeof value === 'object' && value !== null && typeof (value as Problem).error === 'string'
}

const ends = new Set<() => void>()

/** Call back when the monitor does not know this browser (any more). */
export function onSessionEnd(callback: () => void): () => void {
  ends.add(callback)
  return () => ends.delete(callback)
}

function sessionEnded(): void {
  for (const callback of ends) callback()
}
