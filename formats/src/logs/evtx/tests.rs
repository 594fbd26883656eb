//! Files are made here, by the layout that Microsoft documents (MS-EVEN6) and libevtx describes: no file of others is at hand.
#![allow(clippy::unwrap_used)]
use super::super::tests::read_piece;
use super::super::{LogFormat, Piece};
use super::*;
use crate::logs::frame::{Cut, Step};

/// BinXML, at a place in its chunk.
struct Binary {
    bytes: Vec<u8>,
    base: usize,
}

impl Binary {
    fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    fn utf16(&mut self, text: &str) -> &mut Self {
        text.encode_utf16().for_each(|unit| self.bytes.extend(unit.to_le_bytes()));
        self
    }

    /// A name stands where it is first used.
    fn name(&mut self, name: &str) -> &mut Self {
        let place = (self.base + self.bytes.len() + 4) as u32;
        self.raw(&place.to_le_bytes()).raw(&[0; 6]).raw(&(name.len() as u16).to_le_bytes()).utf16(name).raw(&[0, 0])
    }

    /// An element of a template, which says on which value it depends.
    fn open(&mut self, name: &str, attributes: bool) -> &mut Self {
        self.raw(&[if attributes { 0x41 } else { 0x01 }, 0xff, 0xff, 0, 0, 0, 0]).name(name);
        if attributes { self.raw(&[0; 4]) } else { self }
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.raw(&[5, 1]).raw(&(text.len() as u16).to_le_bytes()).utf16(text)
    }
}

/// `<Event><System><Provider Name="P"/><EventID>…</EventID></System><EventData><Data Name="Image">…</Data></EventData></Event>`
fn event(base: usize, id: u32, image: &str) -> Vec<u8> {
    let mut record = Binary { bytes: Vec::new(), base };
    record.raw(&[0x0f, 1, 1, 0, 0x0c, 1, 1, 0, 0, 0]);
    let place = base + record.bytes.len() + 4;
    let mut template = Binary { bytes: Vec::new(), base: place + 24 };
    template.raw(&[0x0f, 1, 1, 0]).open("Event", false).raw(&[2]).open("System", false).raw(&[2]);
    template.open("Provider", true).raw(&[6]).name("Name").text("P").raw(&[3]);
    template.open("EventID", false).raw(&[2, 0x0d, 0, 0, 8, 4, 4]);
    template.open("EventData", false).raw(&[2]).open("Data", true).raw(&[6]).name("Name").text("Image");
    template.raw(&[2, 0x0d, 1, 0, 1, 4, 4, 4, 0]);
    record.raw(&(place as u32).to_le_bytes()).raw(&[0; 20]).raw(&(template.bytes.len() as u32).to_le_bytes()).raw(&template.bytes);
    record.raw(&2u32.to_le_bytes()).raw(&[4, 0, 8, 0]).raw(&(image.len() as u16 * 2).to_le_bytes()).raw(&[1, 0]);
    record.raw(&id.to_le_bytes()).utf16(image);
    record.bytes
}

/// A chunk of these records, with numbers from `first`.
fn chunk_of(first: u64, images: &[&str]) -> Vec<u8> {
    let mut chunk = vec![0; 512];
    let mut place = 0;
    for (number, image) in (first..).zip(images) {
        place = chunk.len();
        let body = event(place + RECORD_HEADER, 4624, image);
        let size = (RECORD_HEADER + body.len() + 4) as u32;
        for part in [b"**\0\0".as_slice(), &size.to_le_bytes(), &number.to_le_bytes(), &[0; 8], &body, &size.to_le_bytes()] {
            chunk.extend_from_slice(part);
        }
    }
    let free = chunk.len() as u32;
    let last = first + images.len() as u64 - 1;
    chunk[..8].copy_from_slice(CHUNK);
    for (at, number) in [(8, first), (16, last), (24, first), (32, last)] {
        chunk[at..at + 8].copy_from_slice(&number.to_le_bytes());
    }
    for (at, number) in [(40, 128), (44, place as u32), (48, free)] {
        chunk[at..at + 4].copy_from_slice(&number.to_le_bytes());
    }
    chunk.resize(CHUNK_BYTES, 0);
    chunk
}

fn file() -> Vec<u8> {
    let mut file = FILE.to_vec();
    file.resize(FILE_HEADER, 0);
    file.extend(chunk_of(7, &["C:\\a.exe", "<&>"]));
    let mut broken = chunk_of(9, &["x"]);
    broken[600..700].fill(0xff);
    file.extend(broken);
    file.resize(file.len() + CHUNK_BYTES, 0);
    file.extend(chunk_of(10, &["y"]));
    file
}

fn fields(number: u64, image: &str) -> String {
    format!(r#"{number} {{"Event.EventData.Image":"{image}","Event.System.EventID":4624,"Event.System.Provider.Name":"P"}}"#)
}

#[test]
fn each_record_has_the_names_of_its_xml_and_a_broken_chunk_costs_its_own() {
    let piece = |body| read_piece(&Piece { format: LogFormat::Evtx, prelude: b"", body, first_line: 1 });
    let expected = [fields(7, "C:\\\\a.exe"), fields(8, "<&>"), "8 corrupt-evtx".to_owned(), fields(10, "y")];
    let file = file();
    assert_eq!(piece(&file), expected);
    // A chunk alone is enough.
    assert_eq!(piece(&file[FILE_HEADER..][..CHUNK_BYTES]), expected[..2]);
}

#[test]
fn pieces_are_whole_chunks_and_of_one_that_is_cut_off_the_records_arrive() {
    let file = file();
    let (mut at, mut seen, mut cutter) = (0, Vec::new(), ChunkCutter);
    let cut = file.len() - 1_000;
    while at < cut {
        at += match cutter.cut(&file[at..cut], 150_000, true) {
            Step::Piece { body, used } => {
                seen.push(read_piece(&Piece { format: LogFormat::Evtx, prelude: b"", body: &file[at..cut][body], first_line: 1 }));
                used
            }
            Step::Skip(used) => used,
            step => panic!("{step:?}"),
        };
    }
    let first = vec![fields(7, "C:\\\\a.exe"), fields(8, "<&>"), "8 corrupt-evtx".to_owned()];
    // The third chunk is space set aside.
    assert_eq!(seen, [first, Vec::new(), vec![fields(10, "y"), "10 truncated".to_owned()]]);
}
