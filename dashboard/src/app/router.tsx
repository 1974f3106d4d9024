import { createBrowserRouter, Link } from 'react-router'
import { Empty } from '@/components/ui/notice'
import { Overview } from '@/features/overview/overview'
import { Layout } from './layout'
import { patientLazy } from '@/lib/patient-import'

const RunPage = patientLazy(() => import('@/features/run/run-page'))
const StartPage = patientLazy(() => import('@/features/start/start-page'))
const SitesPage = patientLazy(() => import('@/features/sites/sites-page'))
const ComparePage = patientLazy(() => import('@/features/compare/compare-page'))

export const router = createBrowserRouter([
  {
    element: <Layout />,
    children: [
      { path: '/', element: <Overview /> },
      { path: '/runs/:runId', element: <RunPage /> },
      { path: '/start', element: <StartPage /> },
      { path: '/sites', element: <SitesPage /> },
      { path: '/compare', element: <ComparePage /> },
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
