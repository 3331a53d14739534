//! Over what loom's models run; the models are in `tests/`.
//!
//! The tests compile the very files of `../src/coord` a second time, over [`sync`] instead of the engine's, so neither
//! a `cfg` nor `RUSTFLAGS` is needed. Each model also runs over broken twins, in which it has to fail: copies of those
//! files that `build.rs` makes by changing one place.

pub mod sync;
