//! Containers that are too long for a record: trees and tables of many small values in the objects table.

pub(crate) mod elements;
pub(crate) mod leaf;
pub(crate) mod packing;
pub(crate) mod place;
pub(crate) mod sequence;
pub(crate) mod table;
