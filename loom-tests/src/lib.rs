//! The tests are in `tests/`, where the engine's coordination is compiled a second time over loom's primitives.
