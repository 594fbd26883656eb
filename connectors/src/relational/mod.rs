//! The output records as rows: the tables of the contract, for every store that has tables.
//!
//! [`table`] names tables and columns, [`row`] turns records into cells and cells into digests. What SQL a store wants is its own affair.
pub mod row;
pub mod table;

pub use row::{Cell, KeyError, content, deleted_key, digest, key_at, key_text, place, row};
pub use table::{Column, ColumnType, SEAL, TABLES, Table, table};
