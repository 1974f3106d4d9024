import { lazy } from 'react'
import { createBrowserRouter, Link } from 'react-router'
import { Empty } from '@/components/ui/notice'
import { Overview } from '@/features/overview/overview'
import { Layout } from './layout'

const RunPage = lazy(() => import('@/features/run/run-page'))

export const router = createBrowserRouter([
  {
    element: <Layout />,
    children: [
      { path: '/', element: <Overview /> },
      { path: '/runs/:runId', element: <RunPage /> },
      {
        path: '*',
        element: (
          <Empty title="There is no such page.">
            <Link to="/" className="text-primary underline">
              To the overview
            </Link>
          </Empty>
        ),
      },
    ],
  },
])
