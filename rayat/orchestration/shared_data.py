"""One prepared data set per node: the driver puts it into the object store, trials view it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import ray

from rayat.data.base import Prepared, Source
from rayat.data.identity import describe, source_key
from rayat.data.prepare import prepare


class SharedData:
    """References to prepared data sets, by source; travels to every trial.

    Workers get read-only views of the node's one copy (`ray.get` of NumPy arrays is zero-copy).
    """

    def __init__(self, refs: dict[str, Any]) -> None:
        self.refs = refs

    @classmethod
    def put(
        cls, sources: Iterable[Source], read: Mapping[str, Prepared] | None = None
    ) -> tuple[SharedData, dict[str, dict[str, Any]]]:
        """Prepare each distinct source once and share it.

        Args:
            read: what is prepared already, by `source_key`.

        Returns:
            The references, and per source its identity (name, checksum, split, sizes).

        Raises:
            DataError: a data set is missing or damaged; nothing was started.
        """
        refs: dict[str, Any] = {}
        identity: dict[str, dict[str, Any]] = {}
        for source in sources:
            key = source_key(source)
            if key in refs:
                continue
            prepared = (read or {}).get(key) or prepare(source)
            refs[key] = ray.put(prepared)
            identity[key] = describe(prepared)
        return cls(refs), identity

    def get(self, source: Source) -> Prepared:
        """Return the node's copy of the prepared data; one that was not shared is read here."""
        ref = self.refs.get(source_key(source))
        if ref is None:
            return prepare(source)
        prepared: Prepared = ray.get(ref)
        return prepared
