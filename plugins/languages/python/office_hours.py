"""Roles for routes, in office hours, after a fresh login.

What it is configured with, what it asks and what it says: ../README.md.
"""

import json
import re

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.guard import Answer
from wit_world.imports import constants, context, outcome, principal, request


def text(value):
    return value if isinstance(value, str) and value else fail("a string is expected that is not empty")


DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
TIME = "(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00"
WINDOW = re.compile(f" *([a-z,-]+) +({TIME})-({TIME}) *")


def is_window(window):
    match = WINDOW.fullmatch(window)
    if match is None or match[2] >= match[3]:
        return False
    for item in match[1].split(","):
        first, _, last = item.partition("-")
        last = last or first
        if first not in DAYS or last not in DAYS or DAYS.index(first) > DAYS.index(last) or item.endswith("-"):
            return False
    return True


def schedule(value):
    """A wrong schedule is refused here, and not a fault of each request."""
    if len(text(value)) <= 2048 and all(map(is_window, value.split(";"))):
        return value
    return fail(f"hours: `{value}` is no schedule, as in `mon-fri 08:00-18:00`")


def seconds(value):
    return value if type(value) is int and 0 <= value < 2**32 else fail("a whole number is expected")


def roles(value):
    return {route: text(role) for route, role in value.items()} if isinstance(value, dict) else fail("an object is expected")


# What each member of the configuration has to be. A member that is misspelt is an error and not a setting that is not there.
MEMBERS = {"hours": schedule, "max-age": seconds, "tenant-header": text, "routes": roles}


def fail(what):
    """An error of the load."""
    raise Err(what)


def parse(config):
    if not config:
        fail("the policy needs a configuration: name one in the manifest")
    # The host has checked that it is JSON and that no member is there twice.
    members = json.loads(config)
    if not isinstance(members, dict):
        fail("an object is expected")
    for name in members:
        if name not in MEMBERS:
            fail(f"unknown member `{name}`; known are: {', '.join(MEMBERS)}")
    for name in MEMBERS:
        if name not in members:
            fail(f"the member `{name}` is missing")
    return {name: read(members[name]) for name, read in MEMBERS.items()}


def constant(key):
    value = constants.get(key)
    return None if value is None else value.decode()


def deny(code):
    outcome.reason(code)
    return Answer.DENY


class Guard(exports.Guard):
    def configure(self, config):
        """Called once, when the policy is loaded.

        A setting is a constant under its own name; the role that a route needs lies under "route " and the route's template.
        """
        for name, value in parse(config).items():
            settings = {f"route {route}": role for route, role in value.items()} if name == "routes" else {name: str(value)}
            for key, setting in settings.items():
                constants.put(key, setting.encode())
        constants.seal()

    def decide(self):
        """Called for each question, in an instance that `configure` never saw."""
        route = request.route()
        role = None if route is None else constant(f"route {route}")
        if role is None:
            return deny("no-rule")
        # The roles of another issuer are other roles, whatever they are called.
        if not principal.from_home_issuer() or not principal.claim_contains("/roles", role):
            outcome.message(f"this needs the role `{role}`")
            return deny("no-role")
        hours = constant("hours")
        if not context.in_window(hours):
            outcome.message(f"open {hours} (UTC)")
            return deny("closed")
        max_age = int(constant("max-age"))
        if not principal.authenticated_within(max_age):
            outcome.challenge_step_up(None, max_age)
            return deny("login-too-old")
        outcome.copy_to_request_header(constant("tenant-header"), "{claim:/tenant}")
        return Answer.ALLOW
