"""How does the page get to a browser? From one process on this machine, which asks nothing of any network."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from robustpeft.errors import UserError

if TYPE_CHECKING:
    from robustpeft.app.gate import Gate
    from robustpeft.app.settings import Settings
    from robustpeft.app.stage import Stage

__all__ = ["make_app", "serve"]


def serve(settings: Settings, tell: Callable[[str], None]) -> None:
    """Show the page until somebody interrupts.

    Args:
        settings: What is shown, and to whom.
        tell: Told the address once it can be opened.

    Raises:
        UserError: If Gradio is not installed, the address is taken, or there is nothing to show.
    """
    stay_here()
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise UserError(f"the page needs Gradio ({error}): pip install robustpeft[app]") from error
    import uvicorn

    from robustpeft.app.stage import Stage

    listening = _listen(settings.host, settings.port)
    with listening:
        app = make_app(Stage(settings), settings)
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
        tell(f"http://{_shown(settings.host)}:{listening.getsockname()[1]}")
        try:
            uvicorn.Server(config).run(sockets=[listening])
        except KeyboardInterrupt:
            return  # it is how one ends it


def make_app(stage: Stage, settings: Settings) -> Gate:
    """Return the application: the page, the routes that it fetches from, and the gate before both."""
    stay_here()
    import gradio as gr
    from fastapi import FastAPI

    from robustpeft.app.gate import Gate
    from robustpeft.app.page import build_page, static_text
    from robustpeft.app.routes import routes

    app = FastAPI(routes=list(routes(stage.shelf, stage.pictures)), openapi_url=None, docs_url=None, redoc_url=None)
    fonts = [gr.themes.Font(name) for name in ("system-ui", "Segoe UI", "Roboto", "Liberation Sans", "sans-serif")]
    mono = [gr.themes.Font(name) for name in ("ui-monospace", "DejaVu Sans Mono", "monospace")]
    theme = gr.themes.Default(primary_hue="blue", neutral_hue="neutral", font=fonts, font_mono=mono)
    gr.mount_gradio_app(
        app,
        build_page(stage),
        path="/",
        server_name=settings.host,
        theme=theme.set(
            button_primary_background_fill="*primary_700", button_primary_background_fill_hover="*primary_800"
        ),
        css=static_text("app.css"),
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        show_error=False,
        max_file_size=1,  # nothing is uploaded through Gradio
    )
    return Gate(app, settings.host, settings.login)


def stay_here() -> None:
    """Forbid Gradio and the hub's library to speak to anybody, unless somebody said otherwise for the hub."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_MCP_SERVER"] = "False"
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")


def _listen(host: str, port: int) -> socket.socket:
    name = host.strip("[]")
    family = socket.AF_INET6 if ":" in name else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((name, port))
        listening.listen(64)  # who comes before the page is made waits, and is not refused
    except (OSError, UnicodeError) as error:
        listening.close()
        why = getattr(error, "strerror", None) or str(error)
        raise UserError(f"cannot listen on {host}, port {port} ({why}); give another --port, or --port 0") from error
    return listening


def _shown(host: str) -> str:
    return f"[{host.strip('[]')}]" if ":" in host else host
