import type { EventOf } from '@/api/client'
import { count, percent } from '@/lib/format'

/** Rows of each true class by predicted class, shaded by their part of the true class. */
export function Confusion({ evaluated }: { evaluated: EventOf<'run_evaluated'> }) {
  const names = evaluated.classes.map((each) => each.name)
  return (
    <section>
      <h2 className="mb-1 text-sm font-semibold">Confusion: rows of the true class, by what the model says</h2>
      <div className="overflow-x-auto" tabIndex={0} role="region" aria-label="Confusion matrix">
        <table className="border-collapse text-xs" aria-label="Confusion matrix">
          <thead>
            <tr>
              <th scope="col" className="p-1 text-left font-normal text-muted-foreground">
                true \ says
              </th>
              {names.map((name) => (
                <th key={name} scope="col" className="max-w-20 truncate p-1 text-right font-normal" title={name}>
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {evaluated.confusion.map((row, truth) => {
              const whole = row.reduce((sum, rows) => sum + rows, 0)
              return (
                <tr key={names[truth]}>
                  <th scope="row" className="max-w-40 truncate p-1 text-left font-normal" title={names[truth]}>
                    {names[truth]}
                  </th>
                  {row.map((rows, said) => (
                    <td
                      key={names[said]}
                      title={whole === 0 ? 'no row of this class' : `${percent(rows / whole)} of ${names[truth]} taken for ${names[said]}`}
                      className="min-w-12 border p-1 text-right"
                      style={{
                        background:
                          rows === 0
                            ? undefined
                            : `color-mix(in oklch, var(${said === truth ? '--status-completed' : '--status-failed'}) ${Math.round((40 * rows) / whole)}%, transparent)`,
                      }}
                    >
                      {count(rows)}
                    </td>
                  ))}
                </tr>
              )
            })}
          </tbody>
        </table>
      </div>
    </section>
  )
}
