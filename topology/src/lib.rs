//! The engine: journalled epochs through one timely/differential dataflow, out through transactional lanes.
//!
//! Read in this order: [`runtime`] (the threads), [`epoch`] (time), [`source`] (input), [`dataflow`] (the diagram as code), [`by_epoch`] (the shape of
//! an operator), [`intel`] and [`events`] (the operators), [`output`] and [`lane`] (how records leave), [`tables`] and [`state`] (what is kept),
//! [`recovery`] (what happens at a start), [`cluster`] (a cell of several processes), [`rebuild`] (when all snapshots are gone), [`shadow`]
//! (what another configuration would have made of it).
pub mod by_epoch;
pub mod cluster;
pub mod dataflow;
pub mod epoch;
pub mod events;
pub mod guard;
pub mod intel;
pub mod lane;
pub mod output;
pub mod rebuild;
pub mod recovery;
pub mod runtime;
pub mod settings;
pub mod shadow;
pub mod source;
pub mod state;
pub mod tables;
pub mod worker;
