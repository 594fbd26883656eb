//! Indicators that nobody ever published.
use std::fmt::Write as _;

/// Indicators in a package.
pub const PACKAGE: u64 = 10_000;

/// A bundle of the indicators `from..to`. The pattern of each names an IPv4 address and a domain name that no other names.
pub fn package(from: u64, to: u64) -> Vec<u8> {
    let mut text = String::from("{\"type\":\"bundle\",\"id\":\"bundle--5d0092c5-5f74-4287-9642-33f4c354e56d\",\"objects\":[");
    for number in from..to {
        // Spread over the key space as drawn UUIDs are.
        let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        if number > from {
            text.push(',');
        }
        write!(
            text,
            "{{\"type\":\"indicator\",\"spec_version\":\"2.1\",\"id\":\"indicator--{:08x}-{:04x}-4000-8000-{number:012x}\",\
             \"created\":\"2026-01-01T00:00:00.000Z\",\"modified\":\"2026-01-01T00:00:00.000Z\",\"name\":\"Indicator {number}\",\
             \"indicator_types\":[\"malicious-activity\"],\"pattern_type\":\"stix\",\"valid_from\":\"2026-01-01T00:00:00Z\",\
             \"pattern\":\"[ipv4-addr:value = '{}.{}.{}.{}' OR domain-name:value = 'host-{number}.example.org']\"}}",
            spread >> 32,
            spread & 0xffff,
            1 + (number >> 24),
            (number >> 16) & 255,
            (number >> 8) & 255,
            number & 255,
        )
        .unwrap();
    }
    text.push_str("]}");
    text.into_bytes()
}
