//! What a stream is, by its first bytes.

/// How much of a stream must be seen: the header of a tar member.
pub(super) const HEAD: usize = 512;

/// A layer that can be opened, or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Gzip,
    Zstd,
    Bzip2,
    Xz,
    Zip,
    Tar,
    /// An archive that nothing here opens.
    Closed(&'static str),
    /// No layer: content.
    Content,
}

/// The kind of a stream that begins with `head`.
pub(super) fn of(head: &[u8]) -> Kind {
    match head {
        [0x1f, 0x8b, 8, ..] => Kind::Gzip,
        // A frame, or one to be skipped before it.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Kind::Zstd,
        // The block that follows begins with the digits of π, or the stream is empty and ends with those of its root.
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
        | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => Kind::Bzip2,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Kind::Xz,
        // A member, the end of an empty archive, or the mark of one in several parts.
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] | [b'P', b'K', 7, 8, b'P', b'K', ..] => Kind::Zip,
        [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => Kind::Closed("7z"),
        [b'R', b'a', b'r', b'!', 0x1a, 7, ..] => Kind::Closed("RAR"),
        [0x04, 0x22, 0x4d, 0x18, ..] => Kind::Closed("LZ4"),
        [b'M', b'S', b'C', b'F', 0, 0, 0, 0, ..] => Kind::Closed("cabinet"),
        _ if is_tar(head) => Kind::Tar,
        _ => Kind::Content,
    }
}

/// A tar member begins with a header whose bytes add up to the sum that stands in it, its own digits counted as blanks.
fn is_tar(head: &[u8]) -> bool {
    let Some(header) = head.get(..HEAD) else { return false };
    if header[0] == 0 {
        return false;
    }
    let digits: Vec<u8> = header[148..156].iter().copied().filter(|byte| !matches!(byte, 0 | b' ')).collect();
    let Some(said) = std::str::from_utf8(&digits).ok().and_then(|digits| u64::from_str_radix(digits, 8).ok()) else { return false };
    let sum = |of: fn(u8) -> i64| -> i64 {
        header.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { of(*byte) }).sum()
    };
    // Some old ones added signed bytes.
    [sum(i64::from), sum(|byte| i64::from(byte as i8))].contains(&(said as i64))
}
