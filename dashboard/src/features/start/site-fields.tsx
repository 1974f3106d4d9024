import { KEYS } from './draft'
import { useForm } from './form-context'
import { numbersBelow, sitesOf } from './offered'
import { SchemaField } from './schema-field'

/** How many sites take part, and which, where a claimant says which it reaches. */
export function SiteFields() {
  const { offered } = useForm()
  return (
    <>
      <SchemaField name={KEYS.clients} label="Sites" />
      {offered.sites.length > 0 && <ReachedSites />}
    </>
  )
}

/** By number: a site's name is known to a SuperLink with keys only. */
function ReachedSites() {
  const { offered, state, change, standard, errors } = useForm()
  const { overrides } = state.draft
  const open = standard(KEYS.sites)
  const clients = overrides[KEYS.clients] ?? standard(KEYS.clients)
  const counted = typeof clients === 'number' && clients <= MOST_COUNTED ? numbersBelow(clients) : []
  const named = sitesOf(overrides[KEYS.sites] ?? open)
  const chosen = new Set<number | string>(named.length > 0 ? named : counted)
  const isIn = (site: { site: number; name: string }) => chosen.has(site.site) || chosen.has(site.name)
  const included = offered.sites.filter(isIn)
  const toggle = (toggled: number) => {
    const numbers = [...new Set(offered.sites.filter((each) => isIn(each) !== (each.site === toggled)).map((each) => each.site))]
    const all = open == null && numbers.join() === counted.join()
    change({ kind: 'set', key: KEYS.sites, value: all ? null : numbers, standard: open })
  }
  const error = errors[KEYS.sites]
  const id = `field-${KEYS.sites}`
  return (
    <fieldset aria-labelledby={id} className="min-w-0 sm:col-span-2">
      <div className="flex items-baseline justify-between gap-2">
        <span id={id} className="font-medium">
          Which sites take part
        </span>
        {KEYS.sites in overrides && (
          <button
            type="button"
            onClick={() => change({ kind: 'reset', key: KEYS.sites })}
            className="shrink-0 rounded-sm text-xs text-primary underline-offset-2 hover:underline"
          >
            <span aria-hidden>reset</span>
            <span className="sr-only">Reset which sites take part</span>
          </button>
        )}
      </div>
      <div className="mt-1 flex flex-wrap gap-x-4 gap-y-1">
        {offered.sites.map((site) => (
          <label key={`${site.site} ${site.name}`} className="flex items-center gap-1.5">
            <input
              type="checkbox"
              checked={isIn(site)}
              disabled={included.length === 1 && isIn(site)}
              onChange={() => toggle(site.site)}
            />
            {site.name === `site-${site.site}` ? `Site ${site.site}` : `Site ${site.site}, ${site.name}`}
          </label>
        ))}
      </div>
      {error !== undefined && <p className="mt-1 text-xs text-destructive">✕ {error}</p>}
    </fieldset>
  )
}

const MOST_COUNTED = 10_000
