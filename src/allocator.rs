//! The allocator, and how long it keeps what is free.
use std::ffi::{c_int, c_long};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay`, by its place in mimalloc's list of options.
const PURGE_DELAY: c_int = 15;
/// mimalloc's own is a second, in which a large package goes through all its stages, and the memory of the first is not there for the last: 5.4 times
/// the size of a file instead of 4.1, for 2 % of time (`benches/file_to_topics`).
const MILLISECONDS: c_long = 10;

/// Returns memory to the system soon after it was freed. To be called first of all.
#[expect(unsafe_code, reason = "mimalloc has no safe way to its options")]
pub fn return_memory_soon() {
    // SAFETY: stores a number in a table of the allocator; an option that it does not know is ignored.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, MILLISECONDS) };
}
