import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { render } from '@testing-library/react'
import type { ReactNode } from 'react'
import { createMemoryRouter, RouterProvider } from 'react-router'
import { SessionProvider } from '@/features/session/session'

/** A page at an address, with everything that is around it in the dashboard; returns its router. */
export function openPage(page: ReactNode, address: string) {
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } })
  const path = address.split('?')[0] ?? '/'
  const router = createMemoryRouter(
    [
      { path, element: page },
      { path: '/runs/:runId', element: <p>the run’s page</p> },
    ],
    { initialEntries: [address] },
  )
  render(
    <QueryClientProvider client={client}>
      <SessionProvider>
        <RouterProvider router={router} />
      </SessionProvider>
    </QueryClientProvider>,
  )
  return router
}
