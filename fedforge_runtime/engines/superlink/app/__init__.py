"""The run's end of a SuperLink: the run is driven over it, and its replies are taken."""
