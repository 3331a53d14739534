"""pysos: lines of JSON in a text file, with an index in memory."""

from __future__ import annotations

from engine import MappingEngine, Promise


class PysosEngine(MappingEngine):
    """Its defaults."""

    name = "pysos"
    title = "pysos"
    module = "pysos"
    promise = Promise("when the system writes it", "no", "no", "is lost")

    def open(self, *, readonly: bool = False) -> None:
        import pysos

        self.m = pysos.Dict(str(self.directory / "data.sos"))
