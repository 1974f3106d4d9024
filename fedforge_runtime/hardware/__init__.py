"""What this machine is, whether it can be trusted, and how long the phases take on it: `fedforge hardware-check`."""
