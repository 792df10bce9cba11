"""Rows and bytes: the only package that knows SQLAlchemy. No HTTP, no Celery, no torch."""
