//! Prints what each object of a package holds: `cargo run -p sightline-formats --example holds -- FILE`.
//! One line an observable, tab-separated: identifier, role, kind, value. For people, and for checks by other programs.
use std::io::{BufWriter, Write};

use sightline_formats::{IntelFormat, IntelItem, Limits, parse_intel};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: holds FILE")?;
    let parts = [std::fs::read(path)?.into()];
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut failed = None;
    let mut print = |item| {
        let written = match item {
            IntelItem::Object { object, .. } => object.holds.iter().try_for_each(|held| {
                writeln!(out, "{}\t{}\t{}\t{}", object.id, held.role, held.observable.kind(), held.observable.value())
            }),
            IntelItem::Poison(poison) => {
                eprintln!("{} {}: {}", poison.position, poison.reason, poison.message);
                Ok(())
            }
        };
        failed = failed.take().or(written.err());
    };
    parse_intel(IntelFormat::Auto, &parts, &Limits::default(), &mut print).map_err(|poison| poison.message)?;
    failed.map_or(Ok(()), |error| Err(error.into()))
}
