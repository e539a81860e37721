"""Runs of projects: starting one, its tasks, its end, what it leaves, and what watchers are told."""
