"""What a release must show, gate by gate; `make release-check` runs it."""
