//! The parsers over real packages of others, against figures counted by other programs.
#![allow(clippy::unwrap_used)]
mod allow_lists;
mod archives;
mod attack;
mod data;
mod examples;
mod grammar;
mod lists;
mod logs;
mod validation;
