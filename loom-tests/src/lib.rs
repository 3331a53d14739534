//! Over what loom's models run; the models are in `tests/`.
//!
//! The tests compile the very files of `../src/coord` a second time, over [`sync`] instead of the engine's, so neither
//! a `cfg` nor `RUSTFLAGS` is needed. Each model also runs over broken twins, in which it has to fail: copies of those
//! files that `build.rs` makes by changing one place.

pub mod sync;
pub mod versions;

/// Puts a broken copy of a module to the model that has to find it, with the words in which it complains.
///
/// The caller has a macro `models` that makes the models for a module of that name, and may have a module that the copy
/// needs beside it.
#[macro_export]
macro_rules! twin {
    ($module:ident, $twin:ident, $model:ident, $complaint:literal $(, beside $beside:ident)?) => {
        mod $twin {
            $(use super::$beside;)?
            #[allow(unused, clippy::pedantic, reason = "a broken copy")]
            mod $module {
                include!(concat!(env!("OUT_DIR"), "/", stringify!($twin), ".rs"));
            }
            models!($module);

            #[test]
            #[should_panic(expected = $complaint)]
            fn is_found() {
                $model();
            }
        }
    };
}
