//! Values and the transactions that read and write them, as Rust programs see them.

pub(crate) mod check;
pub(crate) mod container;
pub(crate) mod entry_ref;
pub(crate) mod held;
pub(crate) mod long;
pub(crate) mod moment;
pub(crate) mod read_transaction;
pub(crate) mod scope;
pub(crate) mod shared_transaction;
pub(crate) mod value;
pub(crate) mod value_ref;
pub(crate) mod write_transaction;
