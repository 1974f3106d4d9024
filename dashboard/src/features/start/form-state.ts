import { withName, withoutKey, withValue, type Draft, type Value } from './draft'
import { parse, type Field } from './field'

/** What is written in a control while it is edited, and what is wrong with it. */
interface Writing {
  text: string
  problem: string | null
}

export interface FormState {
  draft: Draft
  writing: Record<string, Writing>
}

/** `standard` is what the key is where nothing is sent, `undefined` where that is not known. */
export type FormChange =
  | { kind: 'write'; field: Field; text: string; standard: Value | undefined }
  | { kind: 'leave'; key: string }
  | { kind: 'set'; key: string; value: Value; standard: Value | undefined }
  | { kind: 'name'; key: string; name: string; standard: Value | undefined }
  | { kind: 'reset'; key: string }
  | { kind: 'take'; draft: Draft }

export function startOf(draft: Draft): FormState {
  return { draft, writing: {} }
}

export function formReducer(state: FormState, change: FormChange): FormState {
  switch (change.kind) {
    case 'write': return write(state, change)
    case 'leave': return state.writing[change.key]?.problem ? state : { ...state, writing: without(state.writing, change.key) }
    case 'set': return { draft: withValue(state.draft, change.key, change.value, change.standard), writing: without(state.writing, change.key) }
    case 'name': {
      const parameters = `${change.key.slice(0, -'name'.length)}parameters.`
      const writing = Object.fromEntries(Object.entries(state.writing).filter(([key]) => !key.startsWith(parameters)))
      return { draft: withName(state.draft, change.key, change.name, change.standard), writing }
    }
    case 'reset': return { draft: withoutKey(state.draft, change.key), writing: without(state.writing, change.key) }
    case 'take': return { ...state, draft: change.draft }
  }
}

/** Keys whose control holds something that cannot be sent. */
export function wrongKeys(state: FormState): string[] {
  return Object.entries(state.writing).filter(([, each]) => each.problem).map(([key]) => key)
}

function write(state: FormState, { field, text, standard }: Extract<FormChange, { kind: 'write' }>): FormState {
  if (text.trim() === '' && standard === undefined) {
    return { draft: withoutKey(state.draft, field.key), writing: { ...state.writing, [field.key]: { text, problem: null } } }
  }
  const parsed = parse(field, text)
  const problem = 'problem' in parsed ? parsed.problem : null
  return {
    draft: 'value' in parsed ? withValue(state.draft, field.key, parsed.value, standard) : state.draft,
    writing: { ...state.writing, [field.key]: { text, problem } },
  }
}

function without(writing: FormState['writing'], key: string): FormState['writing'] {
  return Object.fromEntries(Object.entries(writing).filter(([each]) => each !== key))
}
