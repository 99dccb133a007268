"""Accepted tasks, their jobs, results, deliveries and retention: everything that lives in the database."""
