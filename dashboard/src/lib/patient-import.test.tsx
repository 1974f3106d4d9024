import { render, screen } from '@testing-library/react'
import { Suspense } from 'react'
import { patientLazy } from './patient-import'

test('a part that cannot be read at first is read again', async () => {
  let tries = 0
  const Part = patientLazy(() =>
    ++tries < 3 ? Promise.reject<{ default: () => React.JSX.Element }>(new TypeError('Failed to fetch')) : Promise.resolve({ default: () => <p>it came</p> }),
  )
  render(
    <Suspense fallback={<p>it comes</p>}>
      <Part />
    </Suspense>,
  )
  expect(await screen.findByText('it came', {}, { timeout: 60_000 })).toBeVisible()
  expect(tries).toBe(3)
})
