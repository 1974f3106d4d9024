import { useQuery } from '@tanstack/react-query'
import { useEffect, useMemo, useReducer, useRef, useState, type FormEvent } from 'react'
import type { OfferView } from '@/api/schema'
import { Notice } from '@/components/ui/notice'
import { Panel } from '@/components/ui/panel'
import { useSession } from '@/features/session/session'
import { useDebounced } from '@/lib/use-debounced'
import { AdvancedFields, UnknownKeys } from './advanced-fields'
import { CheckPanel } from './check-panel'
import { Claimants } from './claimants'
import type { Draft } from './draft'
import { keysIn } from './error-keys'
import { written } from './field'
import { FormContext, type Form } from './form-context'
import { formReducer, startOf, wrongKeys } from './form-state'
import { Holdings } from './holdings'
import { toSearch } from './link'
import { MainFields } from './main-fields'
import { offered, standard, standards } from './offered'
import { checkQuery } from './queries'
import { proposedRunId } from './run-id'
import { StartBar } from './start-bar'
import { UnofferedFields } from './unoffered-fields'
import { useStart } from './use-start'
import { verdict, type Verdict } from './verdict'

const SETTLED_MS = 400

interface StartFormProps {
  views: OfferView[]
  initial: Draft
  /** Keys of the run that it is filled from and that a page may not set. */
  left: string[]
  /** Puts what is in the form into the address. */
  write: (search: URLSearchParams) => void
}

export function StartForm({ views, initial, left, write }: StartFormProps) {
  const [state, change] = useReducer(formReducer, initial, startOf)
  const { draft } = state
  const [runId, setRunId] = useRunId(draft.phase)
  const { start, busy, error: refused } = useStart(runId, draft)
  const { outdated, known } = useVerdict(views, draft)
  useAddress(draft, initial, write)

  const together = useMemo(() => offered(views), [views])
  const [phase, profile] = [together.phases[0]?.name, together.profiles[0]?.name]
  useEffect(() => {
    // Whoever came only now says what there is to choose.
    if (draft.phase === '' && phase && profile) change({ kind: 'take', draft: { ...draft, phase, profile } })
  }, [draft, phase, profile])
  const error = known.kind === 'invalid' && !outdated ? known.error : null
  const errors = useMemo(() => errorsByKey(error, together.schemas, draft), [error, together, draft])
  const form: Form = {
    views,
    offered: together,
    state,
    change,
    errors,
    standard: (key) => standard(views, draft, key),
    unset: unsetWords(views, draft),
    chosen: (key) => {
      const value = draft.overrides[key] ?? standard(views, draft, key)
      return typeof value === 'string' ? value : undefined
    },
  }
  const wrong = wrongKeys(state)
  const submit = (event: FormEvent) => {
    event.preventDefault()
    start()
  }
  return (
    <FormContext value={form}>
      <form onSubmit={submit} noValidate aria-label="Start a run">
        <fieldset disabled={busy} className="grid min-w-0 grid-cols-[minmax(0,1fr)] gap-5 lg:grid-cols-[minmax(0,3fr)_minmax(0,2fr)]">
          <Panel title="What is asked for" className="self-start rounded-md border bg-card">
            {left.length > 0 && (
              <Notice tone="info" title="Left out of the run that this is filled from" className="m-3">
                {left.join(', ')}: of whoever carries the run out.
              </Notice>
            )}
            {views.length > 0 ? <MainFields /> : <UnofferedFields />}
            <UnknownKeys />
            {views.length > 0 && <AdvancedFields />}
          </Panel>
          <div className="flex min-w-0 flex-col divide-y self-start rounded-md border bg-card lg:sticky lg:top-4">
            <Panel title="Who carries it out">
              <Claimants />
            </Panel>
            <CheckPanel verdict={known} outdated={outdated} />
            <Panel title="Start">
              <StartBar
                runId={runId}
                onRunId={setRunId}
                obstacle={obstacleOf(draft, wrong, outdated, known.kind)}
                refusal={refused?.message ?? null}
                busy={busy}
                waits={views.length === 0}
              />
            </Panel>
            {known.kind === 'valid' && known.answer.sites.length > 0 && (
              <Holdings sites={known.answer.sites} classNames={known.answer.class_names} outdated={outdated} />
            )}
          </div>
        </fieldset>
      </form>
    </FormContext>
  )
}

/** The name that is proposed follows the phase until a person gives one. */
function useRunId(phase: string): [string, (runId: string) => void] {
  const [given, give] = useState<string | null>(null)
  const [opened] = useState(() => ({ at: new Date(), suffix: Math.random() }))
  const proposed = phase === '' ? '' : proposedRunId(phase, opened.at, () => opened.suffix)
  return [given ?? proposed, give]
}

function useVerdict(views: OfferView[], draft: Draft) {
  const { view } = useSession()
  const settled = useDebounced(draft, SETTLED_MS)
  const claimants = views.map(({ claimant, offer }) => `${claimant} ${offer.checks ? 'answers' : 'is not ready'}`)
  const check = useQuery({ ...checkQuery(settled, claimants, view?.name ?? 'dashboard'), enabled: settled.phase !== '' })
  const outdated = draft.phase !== '' && (settled !== draft || check.isFetching)
  const nothing: Verdict = { kind: 'unknown', reason: 'Nothing is asked for yet: choose a phase.' }
  return { outdated, known: settled.phase === '' ? nothing : verdict(check.data, check.error) }
}

/** The address says what is in the form, once something has been changed. */
function useAddress(draft: Draft, initial: Draft, write: StartFormProps['write']): void {
  const settled = useDebounced(draft, SETTLED_MS)
  const written = useRef(initial)
  useEffect(() => {
    if (settled === written.current) return
    written.current = settled
    write(toSearch(settled))
  }, [settled, write])
}

/** What a control says that is not set where it is not known what the profile says: what the first profile says. */
function unsetWords(views: OfferView[], draft: Draft): Form['unset'] {
  const first = views[0]?.offer.profiles[0]?.name
  return (key) => {
    const [said] = first === undefined ? [] : standards(views, { ...draft, profile: first }, key)
    return said == null ? 'as the profile says' : `as ${draft.profile} says; ${written(said)} in ${first}`
  }
}

function errorsByKey(error: string | null, schemas: Form['offered']['schemas'], draft: Draft): Record<string, string> {
  if (error === null) return {}
  const keys = keysIn(error, [...new Set([...Object.keys(schemas), ...Object.keys(draft.overrides)])])
  return Object.fromEntries(keys.map((key) => [key, error]))
}

function obstacleOf(draft: Draft, wrong: string[], outdated: boolean, kind: ReturnType<typeof verdict>['kind']): string | null {
  if (draft.phase === '' || draft.profile === '') return 'Choose a phase and a profile.'
  if (wrong.length > 0) return `First mend ${wrong.join(', ')}.`
  if (outdated) return 'It is being checked.'
  return kind === 'invalid' ? 'It cannot be carried out as it is.' : null
}
