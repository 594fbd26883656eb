#![allow(clippy::unwrap_used)]
use std::io::{Cursor, Read, Write};
use std::ops::ControlFlow;

use proptest::prelude::*;
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use super::{Unpacked, charset, fault, unpack_file, unpack_stream};
use crate::limits::Limits;

/// `path: content`, and `path: reason` after what came before the fault.
fn seen(unpacked: Unpacked<'_>, seen: &mut Vec<String>) {
    match unpacked {
        Unpacked::Refused { path, refused } => seen.push(format!("{path}: {}", refused.reason)),
        Unpacked::Member { path, content } => {
            let (mut bytes, mut chunk) = (Vec::new(), [0; 1000]);
            let end = loop {
                match content.read(&mut chunk) {
                    Ok(0) => break None,
                    Ok(read) => bytes.extend_from_slice(&chunk[..read]),
                    Err(error) => break Some(fault(&error).unwrap().clone()),
                }
            };
            let shown = String::from_utf8_lossy(&bytes);
            let shown = if shown.len() > 40 { format!("{} bytes", shown.len()) } else { shown.into_owned() };
            seen.push(format!("{path}: {shown}{}", end.map(|end| format!(" {}", end.reason)).unwrap_or_default()));
        }
    }
}

fn of_file(path: &str, bytes: &[u8], limits: &Limits) -> Vec<String> {
    let mut found = Vec::new();
    unpack_file(path, Cursor::new(bytes), limits, &mut |unpacked| {
        seen(unpacked, &mut found);
        ControlFlow::Continue(())
    })
    .unwrap();
    found
}

/// What a file holds; the same must come out when it cannot be sought in.
fn of(path: &str, bytes: &[u8]) -> Vec<String> {
    let limits = Limits::default();
    let found = of_file(path, bytes, &limits);
    let mut streamed = Vec::new();
    unpack_stream(path, bytes, &limits, &mut |unpacked| {
        seen(unpacked, &mut streamed);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(found, streamed);
    found
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut packed = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut packed = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).unwrap()
}

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, *bytes).unwrap();
    }
    archive.into_inner().unwrap()
}

fn zip_as(method: CompressionMethod, members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        archive.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    zip_as(CompressionMethod::Deflated, members)
}

/// Text that does not pack well.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let digit = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        b'!' + ((state >> 33) % 90) as u8
    });
    digit.take(bytes).collect()
}

#[test]
fn what_a_stream_is_says_its_content_and_not_its_name() {
    for pack in [gzip, bzip2, xz, zstd] {
        assert_eq!(of("a.txt", &pack(b"text")), ["a.txt: text"]);
        assert_eq!(of("b", &pack(&tar(&[("x", b"1"), ("y", b"2")]))), ["b!x: 1", "b!y: 2"]);
    }
    assert_eq!(of("c.gz", b"plain"), ["c.gz: plain"]);
    assert_eq!(of("empty", b""), ["empty: "]);
    assert_eq!(of("d", b"BZh9 is how this line begins"), ["d: BZh9 is how this line begins"]);
}

#[test]
fn members_of_several_streams_in_a_row_are_one() {
    for pack in [gzip, bzip2, xz, zstd] {
        assert_eq!(of("a", &[pack(b"one "), pack(b"two")].concat()), ["a: one two"]);
    }
}

#[test]
fn what_follows_a_gzip_stream_and_is_none_is_left_out() {
    assert_eq!(of("a", &[gzip(b"one "), gzip(b"two"), b"\n".to_vec()].concat()), ["a: one two"]);
    assert_eq!(of("a", &[gzip(&tar(&[("b", b"1")])), vec![0; 600]].concat()), ["a!b: 1"]);
}

#[test]
fn archives_open_two_deep_and_no_deeper() {
    let inner = zip(&[("a.json", b"{}")]);
    let middle = gzip(&tar(&[("day/inner.zip", &inner), ("b", b"text")]));
    let outer = zip(&[("middle.tar.gz", &middle), ("__MACOSX/._c", b"junk"), ("c", b"end")]);
    let found = ["o!middle.tar.gz!day/inner.zip!a.json: {}", "o!middle.tar.gz!b: text", "o!c: end"];
    assert_eq!(of("o", &outer), found);
    let deeper = zip(&[("o.zip", &outer), ("last", b"1")]);
    assert_eq!(
        of("p", &deeper),
        ["p!o.zip!middle.tar.gz!day/inner.zip: archive-too-deep", "p!o.zip!middle.tar.gz!b: text", "p!o.zip!c: end", "p!last: 1"]
    );
}

#[test]
fn methods_of_zip_that_are_read_and_those_that_are_not() {
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated, CompressionMethod::Bzip2] {
        assert_eq!(of("z", &zip_as(method, &[("a", b"text"), ("d/", b""), ("d/b", b"more")])), ["z!a: text", "z!d/b: more"]);
    }
    let mut bytes = zip_as(CompressionMethod::Stored, &[("a", b"text"), ("b", b"more")]);
    let directory = memchr::memmem::find(&bytes, b"PK\x01\x02").unwrap();
    // The first member's method, in both places.
    (bytes[8], bytes[directory + 10]) = (97, 97);
    assert_eq!(of("z", &bytes), ["z!a: unsupported-archive", "z!b: more"]);
    (bytes[8], bytes[directory + 10]) = (0, 0);
    (bytes[6], bytes[directory + 8]) = (1, 1);
    assert_eq!(of("z", &bytes), ["z!a: encrypted", "z!b: more"]);
    assert_eq!(of("z", b"7z\xbc\xaf\x27\x1c rest"), ["z: unsupported-archive"]);
}

#[test]
fn a_stream_that_is_cut_off_arrives_as_far_as_it_goes_with_one_refusal() {
    let text = noise(300_000);
    for pack in [gzip, bzip2, xz, zstd] {
        let packed = pack(&text);
        let found = of("a", &packed[..packed.len() - 20]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].ends_with(" truncated-archive"), "{found:?}");
        let archive = pack(&tar(&[("a", b"whole"), ("b", &text), ("c", b"never")]));
        let found = of("t", &archive[..archive.len() * 2 / 3]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0], "t!a: whole");
        assert!(found[1].starts_with("t!b: ") && found[1].ends_with(" truncated-archive"), "{found:?}");
    }
}

#[test]
fn a_zip_without_its_directory_is_read_by_what_stands_before_the_members() {
    let text = noise(300_000);
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let whole = zip_as(method, &[("a", b"whole"), ("b", &text), ("c", b"more")]);
        let directory = memchr::memmem::find(&whole, b"PK\x01\x02").unwrap();
        assert_eq!(of("z", &whole[..directory]), ["z!a: whole", "z!b: 300000 bytes", "z!c: more", "z: truncated-archive"]);
        let found = of("z", &whole[..directory / 2]);
        assert_eq!((found.len(), &found[0][..]), (2, "z!a: whole"), "{found:?}");
        assert!(found[1].starts_with("z!b: 1") && found[1].ends_with(" bytes truncated-archive"), "{found:?}");
    }
    // Written as a stream, the sizes follow the members.
    let mut archive = zip::ZipWriter::new_stream(Vec::new());
    for (name, bytes) in [("a", &b"whole"[..]), ("b", &text), ("c", b"more")] {
        archive.start_file(name, SimpleFileOptions::default()).unwrap();
        archive.write_all(bytes).unwrap();
    }
    let whole = archive.finish().unwrap().into_inner();
    let directory = memchr::memmem::find(&whole, b"PK\x01\x02").unwrap();
    assert_eq!(of("z", &whole), ["z!a: whole", "z!b: 300000 bytes", "z!c: more"]);
    assert_eq!(of("z", &whole[..directory]), ["z!a: whole", "z!b: 300000 bytes", "z!c: more", "z: truncated-archive"]);
}

#[test]
fn a_corrupt_member_does_not_end_its_archive() {
    let text = noise(100_000);
    let mut bytes = zip(&[("a", b"one"), ("b", &text), ("c", b"three")]);
    let middle = bytes.len() / 2;
    bytes[middle..middle + 100].fill(0xff);
    let found = of("z", &bytes);
    assert_eq!((found.len(), &found[0][..], &found[2][..]), (3, "z!a: one", "z!c: three"), "{found:?}");
    assert!(found[1].ends_with(" corrupt-archive"), "{found:?}");
    let mut broken = gzip(&text);
    broken[50_000..50_100].fill(0xff);
    let found = of("t", &tar(&[("b.gz", &broken), ("c", b"three")]));
    assert_eq!((found.len(), &found[1][..]), (2, "t!c: three"));
    assert!(found[0].ends_with(" corrupt-archive"), "{found:?}");
}

#[test]
fn what_unpacks_to_too_much_is_refused_and_the_rest_goes_on() {
    let bomb = vec![0; 32 << 20];
    let limits = Limits::default();
    let archive = zip(&[("a", b"one"), ("bomb", &bomb), ("c", b"three")]);
    let found = of_file("z", &archive, &limits);
    assert_eq!((found.len(), &found[0][..], &found[2][..]), (3, "z!a: one", "z!c: three"), "{found:?}");
    assert!(found[1].ends_with(" bytes archive-ratio"), "{found:?}");
    for pack in [gzip, bzip2, xz, zstd] {
        let found = of_file("g", &pack(&bomb), &limits);
        assert!(found.len() == 1 && found[0].ends_with(" bytes archive-ratio"), "{found:?}");
    }
    let limits = Limits { archive_bytes: 100_000, ..Limits::default() };
    let text = noise(60_000);
    let found = of_file("z", &zip(&[("a", &text), ("b", &text), ("c", b"three")]), &limits);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0] == "z!a: 60000 bytes" && found[1].ends_with(" archive-too-large"), "{found:?}");
}

#[test]
fn members_over_the_bound_are_refused_once() {
    let limits = Limits { archive_members: 2, ..Limits::default() };
    let found = of_file("z", &zip(&[("a", b"1"), ("b", b"2"), ("c", b"3"), ("d", b"4")]), &limits);
    assert_eq!(found, ["z!a: 1", "z!b: 2", "z: archive-too-many-members"]);
    let limits = Limits { archive_spool_bytes: 50, ..Limits::default() };
    let found = of_file("t", &tar(&[("z", &zip(&[("a", b"1")])), ("b", b"2")]), &limits);
    assert_eq!(found, ["t!z: archive-too-large", "t!b: 2"]);
}

#[test]
fn a_tar_whose_headers_never_end_is_refused_with_memory_flat() {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(1 << 40);
    header.set_path("long").unwrap();
    header.set_cksum();
    let endless = header.as_bytes().chain(std::io::repeat(b'a'));
    let mut found = Vec::new();
    unpack_stream("t", endless, &Limits::default(), &mut |unpacked| {
        seen(unpacked, &mut found);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(found, ["t: corrupt-archive"]);
}

#[test]
fn a_visitor_that_has_enough_is_not_shown_more() {
    let mut paths = Vec::new();
    unpack_file("z", Cursor::new(zip(&[("a", b"1"), ("b", b"2")])), &Limits::default(), &mut |unpacked| {
        if let Unpacked::Member { path, .. } = unpacked {
            paths.push(path.to_owned());
        }
        ControlFlow::Break(())
    })
    .unwrap();
    assert_eq!(paths, ["z!a"]);
}

/// The text in every way of writing, with its mark and, where it can be told, without.
fn written(text: &str) -> Vec<Vec<u8>> {
    let of16 = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let of32 = |bytes: fn(u32) -> [u8; 4]| text.chars().flat_map(|sign| bytes(sign.into())).collect::<Vec<u8>>();
    let (le16, be16) = (of16(u16::to_le_bytes), of16(u16::to_be_bytes));
    let (le32, be32) = (of32(u32::to_le_bytes), of32(u32::to_be_bytes));
    let marked = |mark: &[u8], bytes: &[u8]| [mark, bytes].concat();
    vec![
        marked(b"\xef\xbb\xbf", text.as_bytes()),
        marked(b"\xff\xfe", &le16),
        marked(b"\xfe\xff", &be16),
        marked(b"\xff\xfe\0\0", &le32),
        marked(b"\0\0\xfe\xff", &be32),
        text.as_bytes().to_vec(),
        le16,
        be16,
        le32,
        be32,
    ]
}

/// Reads byte by byte, as a slow network does.
struct Slow<'b>(&'b [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = buffer.len().min(1);
        self.0.read(&mut buffer[..most])
    }
}

#[test]
fn a_text_is_the_same_however_it_is_written() {
    let text = format!("{{\"name\":\"Łódź 😀\"}}\r\n{}", "{\"a\":1}\n".repeat(5_000));
    for bytes in written(&text) {
        let mut read = String::new();
        charset::text(&bytes[..]).1.read_to_string(&mut read).unwrap();
        assert_eq!(read, text, "{:?}", &bytes[..8]);
        read.clear();
        charset::text(Slow(&bytes)).1.read_to_string(&mut read).unwrap();
        assert!(read == text);
    }
}

#[test]
fn bytes_that_are_no_text_pass_unchanged() {
    for bytes in [&b"ElfFile\0\0\0\0\0"[..], b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0", b"caf\xe9\n", b"\0", b"a\0b", b""] {
        let mut read = Vec::new();
        charset::text(bytes).1.read_to_end(&mut read).unwrap();
        assert_eq!(read, bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_is_done_to_an_archive_it_ends_and_nothing_panics(
        which in 0..6_usize,
        cut in 0..2_000_usize,
        changes in proptest::collection::vec((0..2_000_usize, any::<u8>()), 0..8),
    ) {
        let text = noise(700);
        let members: &[(&str, &[u8])] = &[("a", &text), ("b", b"two"), ("c/d", &text)];
        let mut bytes = match which {
            0 => zip(members),
            1 => zip_as(CompressionMethod::Stored, members),
            2 => gzip(&tar(members)),
            3 => zstd(&tar(members)),
            4 => xz(&tar(members)),
            _ => bzip2(&tar(members)),
        };
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        bytes.truncate(bytes.len().saturating_sub(cut % 700));
        of("x", &bytes);
    }
}
