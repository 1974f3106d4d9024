const PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

/** A name for a run that nobody else takes, for example `blood-20261124-093000-3f9a`; the time is UTC. */
export function proposedRunId(phase: string, now: Date, random: () => number = Math.random): string {
  const [day, time] = now.toISOString().split('T') as [string, string]
  const suffix = Math.floor(random() * 0x10000).toString(16).padStart(4, '0')
  return `${phase}-${day.replaceAll('-', '')}-${time.slice(0, 8).replaceAll(':', '')}-${suffix}`
}

/** What is wrong with a run id; `null` where nothing is. */
export function runIdProblem(runId: string): string | null {
  if (PATTERN.test(runId)) return null
  return 'Give 1 to 64 letters, digits, dots, dashes or underscores; the first is a letter or a digit.'
}
