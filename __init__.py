"""ACE-Step 1.5 XL SFT node pack: what ComfyUI imports."""

import sys

WEB_DIRECTORY = "./web"


def __getattr__(name: str) -> object:
    """Hand out the node table when ComfyUI asks for it, so that the command line's --help need not import torch.

    ComfyUI asks while it loads the pack, the one moment at which its server takes new routes.
    """
    if name in ("NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"):
        from .nodes import table

        if "comfy.model_management" in sys.modules:
            from .service.http import comfy_routes

            comfy_routes.register()
        return getattr(table, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
