"""The HTTP edge: FastAPI over storage and descend. Never torch, never workers."""
