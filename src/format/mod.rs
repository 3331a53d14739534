//! How keys and values stand in the file: pure bytes, without storage or locks.

pub(crate) mod builder;
pub(crate) mod copy;
mod decimal;
pub(crate) mod frame;
pub(crate) mod header;
pub(crate) mod key;
pub(crate) mod name;
mod number;
pub(crate) mod record;
pub(crate) mod scalar;
pub(crate) mod temporal;
pub(crate) mod varint;
pub(crate) mod word;
