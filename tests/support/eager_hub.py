"""`python -m tests.support.eager_hub serve`: the hub, whose event streams say twice a second that they live."""

import hub.app  # noqa: F401 - it takes Sanic's own deadline from what is changed below
from hub.cli import main
from hub.routes import events

if __name__ == "__main__":
    events.KEEP_ALIVE_S = 0.5  # type: ignore[assignment]
    main()
