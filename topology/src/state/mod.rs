//! What survives a restart: tables in memory, documents on disk, and snapshots of both.
//!
//! [`table`] → [`segment`] (a vnode of a table, or what changed in it, as a file) → [`manifest`] (the segments and marks of one epoch) → [`snapshot`] (the thread
//! that writes them, as often as [`pace`] says); [`documents`] beside them; [`owner`] who may cut and remove; [`upload`] copies snapshots into a
//! [`store`], bundled in [`pack`]s under [`stored`] manifests, and [`fetch`] brings one back; [`timers`] for what a table must do later, [`few`] and [`instant`] for small rows.
mod chains;
pub mod documents;
pub mod fetch;
pub mod few;
pub mod instant;
pub mod manifest;
pub mod owner;
pub mod pace;
pub mod pack;
pub mod segment;
mod slab;
pub mod snapshot;
pub mod store;
pub mod stored;
pub mod table;
pub mod timers;
pub mod upload;

mod durable;
mod vnode;
