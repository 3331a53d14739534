//! Between Python objects and the engine's keys and values.

pub(crate) mod classes;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod integer;
pub(crate) mod key;
pub(crate) mod scalar;
pub(crate) mod temporal;
pub(crate) mod whole;
