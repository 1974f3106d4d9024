import type { EventOf } from '@/api/client'
import { Button } from '@/components/ui/button'
import { count } from '@/lib/format'

/** What the numbers come from: data, weights, partition, code, configuration. */
export function Provenance({ about, evaluated }: { about: EventOf<'run_described'>; evaluated: EventOf<'run_evaluated'> | undefined }) {
  const { data, backbone, partition, code } = about
  const facts: [string, string][] = [
    ['Data', `${data.title}${data.official ? ', the official archive' : data.phantom ? ', PHANTOM' : ', not the official archive'}`],
    ['Its fingerprint', data.fingerprint],
    ['Its licence', data.licence],
    ['Its rows', Object.entries(data.rows).map(([split, rows]) => `${split} ${count(rows)}`).join(', ')],
    ['Backbone', `${backbone.name}${backbone.trained ? '' : ', UNTRAINED'}`],
    ['Its weights', backbone.sha256],
    ...(partition === null
      ? ([['Partition', "each site's own data"]] as [string, string][])
      : ([['Partition', `${partition.name} ${JSON.stringify(partition.parameters)}`]] as [string, string][])),
    ['Code', `${code.version}${code.commit === null ? '' : `, commit ${code.commit}`}`],
    ['Packages', Object.entries(code.packages).map(([name, version]) => `${name} ${version}`).join(', ')],
    ...(evaluated === undefined ? [] : ([['Model', evaluated.model_sha256]] as [string, string][])),
    ...Object.entries(about.artifacts).map(([kind, key]): [string, string] => [`Prepared ${kind}`, key]),
  ]
  return (
    <section>
      <h2 className="mb-1 text-sm font-semibold">Where the numbers come from</h2>
      <dl className="grid grid-cols-[minmax(6rem,auto)_1fr] gap-x-4 gap-y-1 text-xs">
        {facts.map(([name, value]) => (
          <div key={name} className="contents">
            <dt className="text-muted-foreground">{name}</dt>
            <dd className="min-w-0 font-mono break-all">{value}</dd>
          </div>
        ))}
      </dl>
      <details className="mt-2">
        <summary className="text-xs">The whole configuration</summary>
        <Button size="sm" className="my-1" onClick={() => void navigator.clipboard?.writeText(JSON.stringify(about.configuration, null, 2))}>
          Copy
        </Button>
        <pre className="max-h-96 overflow-auto bg-muted p-2 text-xs" tabIndex={0} role="region" aria-label="Configuration">
          {JSON.stringify(about.configuration, null, 2)}
        </pre>
      </details>
    </section>
  )
}
