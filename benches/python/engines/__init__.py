"""The engines, each in a file of its own."""

from __future__ import annotations

from engine import Engine
from engines.diskcache import DiskcacheEngine
from engines.hugedict import HugedictEngine
from engines.limit import LimitEngine
from engines.lmdb import LmdbEngine, LmdbLongEngine
from engines.memory import DictEngine
from engines.mmappickle import MmappickleEngine
from engines.oocmap import OocmapEngine
from engines.pickled import PickleEngine
from engines.predecessor import PredecessorEngine
from engines.pysos import PysosEngine
from engines.rocksdict import RocksdictEngine
from engines.shelved import ShelveEngine
from engines.sqlitedict import SqlitedictEngine
from engines.zodb import ZodbEngine

OURS = OocmapEngine.name

ENGINES: dict[str, type[Engine]] = {
    engine.name: engine
    for engine in (
        OocmapEngine,
        LimitEngine,
        DictEngine,
        PickleEngine,
        LmdbEngine,
        LmdbLongEngine,
        PredecessorEngine,
        HugedictEngine,
        RocksdictEngine,
        SqlitedictEngine,
        DiskcacheEngine,
        ShelveEngine,
        ZodbEngine,
        PysosEngine,
        MmappickleEngine,
    )
}
