"""A client for Tether Hub: connect, send, iterate over messages (docs/client.md).

async with HubClient("ws://127.0.0.1:8080", "mobile", token) as hub:
    await hub.send("user:message", {"desktop_id": "laptop", "text": "hello"}, message_id="1")
    async for message in hub:
        print(message.type, message.payload)
"""

from hub.client.address import Role
from hub.client.connection import HubClient
from hub.client.errors import HubClosed, NotConnected, Refused, TooBig, TooManyPosts
from hub.client.events import Connected, Disconnected, Event, Welcome
from hub.client.message import Message
from hub.client.outbox import Receipt
from hub.client.upkeep import TokenSource
from hub.client.world import World

__all__ = [
    "Connected",
    "Disconnected",
    "Event",
    "HubClient",
    "HubClosed",
    "Message",
    "NotConnected",
    "Receipt",
    "Refused",
    "Role",
    "TokenSource",
    "TooBig",
    "TooManyPosts",
    "Welcome",
    "World",
]
