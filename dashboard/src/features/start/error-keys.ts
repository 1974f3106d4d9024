/**
 * The keys that an error of the server names, so that it can be shown where they are set.
 *
 * @param keys dotted keys of the form, among them those of parameters.
 */
export function keysIn(error: string, keys: string[]): string[] {
  const named = keys.filter((key) => occurs(error, key))
  const parameter = /(?:partition|strategy) \S+ (?:takes for|has no parameter) '?([A-Za-z0-9_]+)/.exec(error)?.[1]
  const ofParameter = parameter ? keys.filter((key) => key.includes('.parameters.') && key.endsWith(`.${parameter}`)) : []
  return [...new Set([...named, ...ofParameter])]
}

function occurs(error: string, key: string): boolean {
  const pattern = new RegExp(`(^|[^A-Za-z0-9_.])${key.replace(/\./g, '\\.')}(?![A-Za-z0-9_]|\\.[A-Za-z0-9_])`)
  return pattern.test(error)
}
