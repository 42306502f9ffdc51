"""The fixture of the tests of workers."""

from worker_jobs import job_of

__all__ = ["job_of"]
