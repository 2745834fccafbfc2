"""What each debug_request means, and the client of debugpy's adapter in this very process. debugpy is here alone.

Knows `ipython`, `interrupts`, `process`, `request`."""
