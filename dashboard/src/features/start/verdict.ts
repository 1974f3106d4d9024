import { ApiError } from '@/api/client'
import type { CheckAnswerOutput, CheckView } from '@/api/schema'

/** What is known of a request before it is made. */
export type Verdict =
  | { kind: 'checking' }
  | { kind: 'valid'; answer: CheckAnswerOutput; claimant: string | null }
  /** The run would fail; or, where it is `refused`, none would be made. */
  | { kind: 'invalid'; error: string; refused: boolean }
  /** Nobody has answered: `reason` says who is missing, or why nothing can be asked. */
  | { kind: 'unknown'; reason: string }

export function verdict(view: CheckView | undefined, error: Error | null): Verdict {
  if (error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 408) {
    return { kind: 'invalid', error: error.message, refused: true }
  }
  if (error) return { kind: 'unknown', reason: error.message }
  if (!view) return { kind: 'checking' }
  const { answer, claimant, missing } = view
  if (!answer) return { kind: 'unknown', reason: missing ?? 'nobody has answered.' }
  return answer.valid ? { kind: 'valid', answer, claimant } : { kind: 'invalid', error: answer.error ?? 'no reason is given.', refused: claimant === null }
}
