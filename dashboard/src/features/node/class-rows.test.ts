import { expect, it } from 'vitest'
import { barsOf, isWithheld, rowsInWords } from './class-rows'

it('says counts that a site withholds in words, and draws no bar for them', () => {
  const classes: Parameters<typeof barsOf>[0] = ['>=5', '<5', 0, 20, 10]
  expect(classes.map(rowsInWords)).toEqual(['5 or more', 'fewer than 5', 'not there', '20', '10'])
  expect(barsOf(classes)).toEqual([null, null, 0, 100, 50])
  expect([isWithheld(classes), isWithheld([3, 0]), isWithheld(null)]).toEqual([true, false, false])
})
