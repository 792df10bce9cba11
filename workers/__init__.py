"""Training: Celery outside, pure PyTorch inside."""
