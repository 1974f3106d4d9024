"""How the monitor's database came to be, step by step; Alembic's layout."""
