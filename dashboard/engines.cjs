// Says why this Node cannot build the dashboard; says nothing where it can. `engines` in package.json has what can.
const wanted = require('./package.json').engines.node

const numbers = (version) => [0, 1, 2].map((place) => Number(version.split('.')[place] || 0))

function isBelow(left, right) {
  const place = [0, 1, 2].find((each) => left[each] !== right[each])
  return place !== undefined && left[place] < right[place]
}

function holds(bound) {
  const below = isBelow(numbers(process.versions.node), numbers(bound.replace(/^\D+/, '')))
  return bound.startsWith('<') ? below : !below
}

const fits = wanted.split('||').some((range) => range.trim().split(/\s+/).every(holds))
if (!fits) console.log(`it needs Node ${wanted}, and this is ${process.versions.node}.`)
