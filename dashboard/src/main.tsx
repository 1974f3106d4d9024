import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { RouterProvider } from 'react-router'
import { Toaster } from 'sonner'
import { ApiError } from './api/client'
import { router } from './app/router'
import { startTheme } from './app/theme'
import { SessionProvider } from './features/session/session'
import './index.css'

startTheme()
const client = new QueryClient({
  defaultOptions: {
    queries: {
      // A refusal stays one; what could not be reached is asked again, for ever, as a wall screen must come back.
      retry: (_, error) => !(error instanceof ApiError) || error.status === 0 || error.status >= 500,
      retryDelay: (tries) => Math.min(500 * 2 ** tries, 10_000),
      staleTime: 2_000,
      gcTime: 60_000, // a wall screen does not keep what it showed an hour ago
    },
  },
})

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <SessionProvider>
        <RouterProvider router={router} />
      </SessionProvider>
      <Toaster position="bottom-right" />
    </QueryClientProvider>
  </StrictMode>,
)
