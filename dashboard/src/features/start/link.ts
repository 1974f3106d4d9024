import type { Draft, Overrides, Value } from './draft'

/** A draft as the address of this page, so that it can be shared and survives a reload. */
export function toSearch(draft: Draft): URLSearchParams {
  const search = new URLSearchParams({ phase: draft.phase, profile: draft.profile })
  for (const key of Object.keys(draft.overrides).sort()) {
    search.append('set', `${key}=${JSON.stringify(draft.overrides[key])}`)
  }
  return search
}

/** The part of a draft that an address has; what cannot be read is left out. */
export function fromSearch(search: URLSearchParams): { phase: string | null; profile: string | null; overrides: Overrides } {
  const overrides: Overrides = {}
  for (const assignment of search.getAll('set')) {
    const [key, ...rest] = assignment.split('=')
    const value = read(rest.join('='))
    if (key && value !== undefined) overrides[key] = value
  }
  return { phase: search.get('phase'), profile: search.get('profile'), overrides }
}

function read(text: string): Value | undefined {
  try {
    const value: unknown = JSON.parse(text)
    const parts: unknown[] = Array.isArray(value) ? value : [value]
    const fits = parts.every((part) => part === null || ['string', 'number', 'boolean'].includes(typeof part))
    return fits ? (value as Value) : undefined
  } catch {
    return undefined
  }
}
