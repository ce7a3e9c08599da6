"""Call pushes: the vendor POSTs each finished call to an address of yours, and a callback of yours gets it."""

from nxcdr_async.webhook.app import CallPushApp, call_push_app

__all__ = ["CallPushApp", "call_push_app"]
