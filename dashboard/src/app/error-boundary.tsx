import { Component, type ReactNode } from 'react'
import { Failed } from '@/components/ui/notice'

/** Of a page that fails the rest stays usable. */
export class ErrorBoundary extends Component<{ children: ReactNode }, { error: Error | null }> {
  override state = { error: null as Error | null }

  static getDerivedStateFromError(error: Error) {
    return { error }
  }

  override render() {
    const { error } = this.state
    if (error === null) return this.props.children
    return <Failed error={error} retry={() => location.reload()} className="mx-auto max-w-prose" />
  }
}
