"""Agents: what computes the plan and the files of a project; begin with ``work``."""
