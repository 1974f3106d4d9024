"""The stack of docker-compose.yml, proved on a real engine: `python -m tests.stack`, or `make docker-smoke`."""
