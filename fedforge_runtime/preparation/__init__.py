"""From a configuration to the artifacts that a run is made of."""
