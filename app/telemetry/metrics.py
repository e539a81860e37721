"""The metrics for Prometheus, summed over the workers of one server.

Several workers store their values in files of one folder. ``portal serve`` sets the folder before this module is
imported, as the client library requires. A single worker keeps its values in memory, at half the cost.
"""

from __future__ import annotations

import contextlib
import os

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from app.telemetry.metric_files import keep_in_allocated_files

keep_in_allocated_files()

# Its count is the number of requests; a separate counter would cost one more write per request.
requests = Histogram(
    "portal_request_seconds",
    "Requests answered, and the time from their arrival to their answer.",
    ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
batch_size = Histogram(
    "portal_batch_size",
    "Requests that shared one statement.",
    ["question"],
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500),
)
sql_statements = Counter("portal_sql_statements_total", "SQL statements sent to the database.")
usage_events = Counter("portal_usage_events_total", "Usage events received.", ["outcome"])
activations = Counter("portal_activations_total", "Activations of devices.", ["outcome"])
scheduled_runs = Counter("portal_scheduled_runs_total", "Runs of scheduled jobs that this server finished.", ["job"])
runs_started = Counter("portal_runs_started_total", "Runs of projects that were started.")
runs_ended = Counter("portal_runs_ended_total", "Runs of projects that have ended.", ["state"])
tasks_ended = Counter("portal_tasks_ended_total", "Tasks of runs that have ended.", ["agent", "status"])
connections = Gauge("portal_connections", "Connections that are open.", multiprocess_mode="livesum")
connections_closed = Counter(
    "portal_connections_closed_total",
    "Connections that had to make room in a worker or among those of their address, and those that found none.",
    ["crowd"],
)
run_watchers = Gauge("portal_run_watchers", "Streams of runs' events that are open.", multiprocess_mode="livesum")
graphql_connections = Gauge(
    "portal_graphql_connections", "Connections for subscriptions that are open.", multiprocess_mode="livesum"
)
billing_events = Counter("portal_billing_events_total", "Events received from Stripe.", ["outcome"])
billing_facts = Counter("portal_billing_facts_total", "Facts about payments that were handled, or failed.", ["outcome"])
billing_waiting = Gauge("portal_billing_waiting", "Facts that wait to be handled.", multiprocess_mode="mostrecent")
billing_oldest = Gauge(
    "portal_billing_oldest_seconds", "How long the oldest of them has waited.", multiprocess_mode="mostrecent"
)
billing_failing = Gauge("portal_billing_failing", "Those of them that have failed.", multiprocess_mode="mostrecent")
stripe_silent = Gauge(
    "portal_stripe_silent",
    "Processes that leave Stripe alone, because it does not answer.",
    multiprocess_mode="livesum",
)
stripe_refusals = Counter("portal_stripe_refusals_total", "Calls that Stripe was spared meanwhile.")

clock_skew = Gauge(
    "portal_clock_skew_seconds",
    "How far this host's clock is ahead of the database's.",
    multiprocess_mode="mostrecent",
)

CONTENT_TYPE = CONTENT_TYPE_LATEST


def exposition() -> bytes:
    """All metrics in Prometheus' text format; call it in a thread, because it reads the workers' files."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest()
    registry = CollectorRegistry()
    try:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    except ValueError:
        # Somebody has removed the folder.
        return generate_latest()
    return generate_latest(registry)


def forget_process(pid: int) -> None:
    """Drop the metrics of a dead process that are valid only while it lives."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        # On a disk that is read-only now they stay.
        with contextlib.suppress(OSError):
            mark_process_dead(pid)  # type: ignore[no-untyped-call]
