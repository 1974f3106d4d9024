import { createContext, useContext, type Dispatch } from 'react'
import type { OfferView } from '@/api/schema'
import type { Value } from './draft'
import type { FormChange, FormState } from './form-state'
import type { Offered } from './offered'

/** What every control of the form works with. */
export interface Form {
  views: OfferView[]
  offered: Offered
  state: FormState
  change: Dispatch<FormChange>
  /** What a key is where nothing is sent; `undefined` where that is not known. */
  standard: (key: string) => Value | undefined
  /** What is said where a key is not set, and it is not known what it then is. */
  unset: (key: string) => string
  /** The name that a key has, from the request or the profile; `undefined` where neither says one. */
  chosen: (key: string) => string | undefined
  /** What the server says of keys, by key. */
  errors: Record<string, string>
}

export const FormContext = createContext<Form | null>(null)

export function useForm(): Form {
  const form = useContext(FormContext)
  if (form === null) throw new Error('useForm is used outside of the form')
  return form
}
