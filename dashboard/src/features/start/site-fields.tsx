import { KEYS } from './draft'
import { useForm } from './form-context'
import { SchemaField } from './schema-field'

/** How many sites take part, and which, where a claimant names those that it reaches. */
export function SiteFields() {
  return (
    <>
      <SchemaField name={KEYS.clients} label="Sites" />
      <ReachedSites />
    </>
  )
}

function ReachedSites() {
  const { offered, state, change, standard } = useForm()
  if (offered.sites.length === 0) return null
  const value = state.draft.overrides[KEYS.sites] ?? standard(KEYS.sites)
  const chosen = Array.isArray(value) ? value.map(String) : null
  const isIn = (site: { site: number; name: string }) =>
    chosen === null || chosen.includes(site.name) || chosen.includes(String(site.site))
  const toggle = (name: string) => {
    const names = offered.sites.filter((site) => isIn(site) !== (site.name === name)).map((site) => site.name)
    change({ kind: 'set', key: KEYS.sites, value: names.length === offered.sites.length ? null : names, standard: standard(KEYS.sites) })
  }
  return (
    <fieldset className="sm:col-span-2">
      <legend className="font-medium">Which of the sites that are reached</legend>
      <div className="mt-1 flex flex-wrap gap-x-4 gap-y-1">
        {offered.sites.map((site) => (
          <label key={site.name} className="flex items-center gap-1.5">
            <input type="checkbox" checked={isIn(site)} onChange={() => toggle(site.name)} />
            {site.name}
          </label>
        ))}
      </div>
    </fieldset>
  )
}
