//! Addresses and prefixes as numbers.
use std::net::IpAddr;

/// Whether an address is of version 4, and its bits, the first one highest.
pub(crate) fn bits(address: IpAddr) -> (bool, u128) {
    match address {
        IpAddr::V4(address) => (true, u128::from(address.to_bits()) << 96),
        IpAddr::V6(address) => (false, address.to_bits()),
    }
}

/// The bits that count in a prefix of so many.
pub(crate) fn mask(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}
