"""ACE-Step 1.5 XL SFT node pack: what ComfyUI imports."""

WEB_DIRECTORY = "./web"


def __getattr__(name: str) -> object:
    """Hand out the node table when ComfyUI asks for it, so that the command line's --help need not import torch."""
    if name in ("NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"):
        from .nodes import table

        return getattr(table, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
