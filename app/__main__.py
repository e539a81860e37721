"""The command line: ``portal serve`` and the operator's commands."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cyclopts import App

# The module and function of each command, and its summary: a module is imported only when its command runs.
COMMANDS = {
    "serve": ("serve:serve", "Start the server; in development it prepares its database by itself."),
    "work": ("work:work", "Run schedules and errands alone, on a host that answers no requests."),
    "demo": ("demo:demo", "Play a device's whole journey against a running or a temporary server."),
    "doctor": ("doctor:doctor", "Check settings, database and keys, and say what mends them."),
    "migrate": ("database:migrate", "Bring the database to the newest migration."),
    "create-operator": ("operators:create_operator", "Create an operator, or give one another role."),
    "list-operators": ("operators:list_operators", "List the operators."),
    "disable-operator": ("operators:disable_operator", "Keep an operator out, and end their sessions."),
    "create-token": ("operators:create_token", "Make an API token and show it, for the only time."),
    "seed-plan": ("catalogue:seed_plan", "Create a plan, or bring it to these figures."),
    "list-plans": ("catalogue:list_plans", "List the plans."),
    "add-tenant": ("catalogue:add_tenant", "Admit a tenant, with --plan also its subscription."),
    "list-tenants": ("catalogue:list_tenants", "List the tenants."),
    "list-deletions": ("deletions:list_deletions", "List the deletions of tenants, and how far they are."),
    "link-sub": ("catalogue:link_sub", "Give a tenant its subscription, or change it."),
    "gen-codes": ("codes:gen_codes", "Make activation codes and show them, for the only time."),
    "list-codes": ("codes:list_codes", "List a tenant's activation codes."),
    "revoke-code": ("codes:revoke_code", "Take an activation code back."),
    "list-devices": ("devices:list_devices", "List a tenant's devices."),
    "list-projects": ("projects:list_projects", "List a tenant's projects."),
    "run": ("runs:run_project", "Start a run of a project; with --watch, show what happens."),
    "list-runs": ("runs:list_runs", "List runs of projects, and how they have ended."),
    "cancel-run": ("runs:cancel_run", "End a run at once."),
    "sign-in-link": ("sign_in_links:sign_in_link", "Make a link that signs a tenant in once."),
    "sdl": ("sdl:sdl", "Print the schema of GraphQL."),
    "purge-sessions": ("purge:purge_sessions", "Remove sessions, challenges and limits that have ended."),
    "reinstate-device": ("devices:reinstate_device", "Let a revoked device be activated again."),
    "release-device": ("devices:release_device", "Free a device's seat; it is refused until it is activated again."),
    "revoke-device": ("devices:revoke_device", "Refuse a device from its next request on, and free its seat."),
    "verify-ledger": ("ledger:verify_ledger", "Prove that every account of the ledger equals its entries."),
    "verify-audit": ("audit:verify_audit", "Prove that no event of the audit trail was changed since it was sealed."),
}
# Commands of two words, by the first: what they are about, and the second word as above.
GROUPS = {
    "keys": (
        "The keys that sign access tokens.",
        {"rotate": ("keys:rotate", "Add a signing key and let the old ones run out.")},
    ),
    "stripe": (
        "Payments through Stripe, and the simulator of it.",
        {
            "advance": ("stripe:advance", "Move the simulator ahead, and billing's clock with it."),
            "reconcile": ("stripe_reconcile:stripe_reconcile", "Compare everything with Stripe, and repair it."),
            "replay": ("stripe_replay:stripe_replay", "Handle what Stripe has told again."),
            "rehearse": ("stripe_rehearse:stripe_rehearse", "Replay a tenant's history in any order, and compare."),
        },
    ),
    "llm": (
        "Settings for language models, their prices, and trying one.",
        {
            "settings": ("llm:settings", "Show the system's settings, or those that hold in a project."),
            "set": ("llm:set_value", "Set one of the system's settings."),
            "try": ("llm_try:llm_try", "Ask a model one thing, as an agent would, and show each attempt."),
            "prices": ("llm_prices:prices", "List prices of models: own ones, and those of models in use."),
            "set-price": ("llm_prices:set_price", "Give a model a price of your own."),
            "remove-price": ("llm_prices:remove_price", "Put a model back to the price of the public list."),
        },
    ),
}


def main() -> int:
    """Run one command and return its exit code."""
    arguments = sys.argv[1:]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that lacks a letter shows a question mark: the work was done, and is no error.
            stream.reconfigure(errors="replace")
    if isinstance(sys.stdin, io.TextIOWrapper):
        # A password means the same however it is handed over.
        sys.stdin.reconfigure(encoding="utf-8")
    try:
        exit_code = _portal()(arguments, exit_on_error=False, print_error=False)
    except KeyboardInterrupt:
        return 130
    except Exception as failure:  # noqa: BLE001 - the last place that can report it to the user
        from app.commands.output import report

        return report(failure, as_json="--json" in arguments)
    return exit_code if isinstance(exit_code, int) else 0


def _portal() -> App:
    """The command-line application; imported here, because worker processes import this module and need none of it."""
    from importlib.metadata import version

    from cyclopts import App

    portal = App(
        name="portal",
        help="License devices and meter their usage.",
        version=version("addon-portal"),
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for name, (target, summary) in COMMANDS.items():
        portal.command(f"app.commands.{target}", name=name, help=summary)
    for name, (about, commands) in GROUPS.items():
        group = App(name=name, help=about, result_action="return_value")
        for second, (target, summary) in commands.items():
            group.command(f"app.commands.{target}", name=second, help=summary)
        portal.command(group)
    return portal


if __name__ == "__main__":
    sys.exit(main())
