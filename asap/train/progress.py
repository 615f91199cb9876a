"""A progress bar on standard error: tqdm's, or none where it is not installed."""

from __future__ import annotations

from typing import Any

try:
    from tqdm.auto import tqdm
except ImportError:

    class tqdm:  # type: ignore[no-redef]
        """Shows nothing."""

        def __init__(self, **options: Any) -> None: ...

        def __enter__(self) -> tqdm:
            return self

        def __exit__(self, *error: object) -> None: ...

        def update(self) -> None: ...

        def set_postfix(self, **values: Any) -> None: ...


__all__ = ["tqdm"]
