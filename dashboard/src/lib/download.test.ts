import { expect, it } from 'vitest'
import { csvOf } from './download'

it('quotes what would end a cell', () => {
  expect(csvOf(['a', 'b'], [['x,"y"', 1], [null, 'two\nlines']])).toBe('a,b\r\n"x,""y""",1\r\n,"two\nlines"\r\n')
})

it('keeps a text a text where a spreadsheet would calculate it, and a negative number a number', () => {
  expect(csvOf(['a'], [['=1+1'], [-1], ['-x']])).toBe("a\r\n'=1+1\r\n-1\r\n'-x\r\n")
})
