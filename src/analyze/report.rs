//! What was found, for people and for programs.
use std::fmt::Write as _;
use std::io::{self, Write as _};

use anyhow::Result;
use serde_json::{Value, json};

use super::found::{Field, Found};

/// How many fields, and how many values of a kind, are shown to people.
const TOP_FIELDS: usize = 25;
const TOP_VALUES: usize = 5;
/// The same for programs.
const ALL_FIELDS: usize = 5_000;
const MANY_VALUES: usize = 100;
/// How many members are listed to people.
const TOP_MEMBERS: usize = 100;

/// Prints the summary for people.
pub fn text(found: &Found) -> Result<()> {
    let text = written(found)?;
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}

fn written(found: &Found) -> Result<String> {
    let mut out = String::new();
    let seconds = found.elapsed.as_secs_f64().max(1e-6);
    writeln!(out, "{}: {}, {} unpacked", found.file, size(found.packed), size(found.bytes()))?;
    write!(out, "{} events", found.events)?;
    if found.objects > 0 {
        write!(out, ", {} objects of intelligence", found.objects)?;
    }
    writeln!(out, ", {} refused", found.refused)?;
    writeln!(
        out,
        "{seconds:.2} s, {}/s, {:.0} records/s",
        size((found.bytes() as f64 / seconds) as u64),
        (found.events + found.objects) as f64 / seconds
    )?;

    writeln!(out, "\n{:<18} {:>9} {:>8} {:>9}  member", "format", "records", "refused", "size")?;
    for member in found.members.iter().take(TOP_MEMBERS) {
        let format = member.format.unwrap_or("-").to_owned();
        let format = if member.charset == "utf-8" { format } else { format!("{format} {}", member.charset) };
        writeln!(out, "{format:<18} {:>9} {:>8} {:>9}  {}", member.records, member.refused, size(member.bytes), member.path)?;
    }
    if found.members.len() > TOP_MEMBERS {
        writeln!(out, "and {} more; --json has them all", found.members.len() - TOP_MEMBERS)?;
    }
    if let Some((first, last)) = found.times {
        writeln!(out, "\ntime  {first} to {last}; {} events name none", found.timeless)?;
    }
    sources(found, &mut out)?;
    fields(found, &mut out)?;
    observables(found, &mut out)?;
    faults(found, &mut out)?;
    Ok(out)
}

fn sources(found: &Found, out: &mut String) -> Result<()> {
    for (at, (name, events)) in found.sources.iter().rev().enumerate() {
        let name = if name.is_empty() { "none that is known" } else { name };
        writeln!(out, "{}{name}, {events} events", if at == 0 { "\nfrom  " } else { "      " })?;
    }
    Ok(())
}

fn fields(found: &Found, out: &mut String) -> Result<()> {
    if found.fields.is_empty() {
        return Ok(());
    }
    let more = if found.more_fields { "over " } else { "" };
    writeln!(out, "\nfields  {more}{} names; in how many events, and an example", found.fields.len())?;
    for (name, field) in sorted(found).into_iter().take(TOP_FIELDS) {
        writeln!(out, "{:>6.1} %  {name:<40} {}", share(field, found), field.example)?;
    }
    if found.fields.len() > TOP_FIELDS {
        writeln!(out, "and {} more; --json has them all", found.fields.len() - TOP_FIELDS)?;
    }
    Ok(())
}

fn observables(found: &Found, out: &mut String) -> Result<()> {
    if found.observables.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nobservables")?;
    for (kind, counts) in &found.observables {
        let distinct = counts.distinct().map_or_else(|| "very many".into(), |distinct| distinct.to_string());
        writeln!(out, "  {}: {distinct} different, {} times", kind.as_str(), counts.total())?;
        for counted in counts.top(TOP_VALUES) {
            writeln!(out, "{:>9}  {}", counted.count, counted.value)?;
        }
    }
    Ok(())
}

fn faults(found: &Found, out: &mut String) -> Result<()> {
    if found.refused == 0 {
        return Ok(());
    }
    let reasons: Vec<_> = found.reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    writeln!(out, "\nrefused  {}", reasons.join(", "))?;
    for fault in &found.faults {
        writeln!(
            out,
            "  {}{}{}: {}: {}",
            fault.path,
            if fault.position.is_empty() { "" } else { " " },
            fault.position,
            fault.reason,
            fault.message
        )?;
    }
    if found.refused > found.faults.len() as u64 {
        writeln!(out, "and {} more; --json has them all", found.refused - found.faults.len() as u64)?;
    }
    Ok(())
}

/// Prints the summary as one JSON object.
pub fn json(found: &Found) -> Result<()> {
    let members: Vec<Value> = found
        .members
        .iter()
        .map(|member| {
            json!({
                "path": member.path, "format": member.format, "charset": member.charset,
                "bytes": member.bytes, "records": member.records, "refused": member.refused,
            })
        })
        .collect();
    let fields: Vec<Value> = sorted(found)
        .into_iter()
        .take(ALL_FIELDS)
        .map(
            |(name, field)| json!({ "name": name, "events": field.events, "share": share(field, found) / 100.0, "example": field.example }),
        )
        .collect();
    let observables: serde_json::Map<String, Value> = found
        .observables
        .iter()
        .map(|(kind, counts)| {
            let top: Vec<_> =
                counts.top(MANY_VALUES).iter().map(|counted| json!({ "value": counted.value, "count": counted.count })).collect();
            (kind.as_str().to_owned(), json!({ "distinct": counts.distinct(), "total": counts.total(), "top": top }))
        })
        .collect();
    let faults: Vec<Value> = found
        .faults
        .iter()
        .map(|fault| json!({ "file": fault.path, "position": fault.position, "reason": fault.reason, "message": fault.message }))
        .collect();
    let summary = json!({
        "file": found.file, "packed_bytes": found.packed, "bytes": found.bytes(), "seconds": found.elapsed.as_secs_f64(),
        "events": found.events, "objects": found.objects, "refused": found.refused, "refused_by_reason": found.reasons,
        "first": found.times.map(|(first, _)| first.to_string()), "last": found.times.map(|(_, last)| last.to_string()),
        "sources": found.sources, "events_without_time": found.timeless, "members": members, "fields": fields, "observables": observables, "rejects": faults,
    });
    writeln!(io::stdout().lock(), "{summary}")?;
    Ok(())
}

/// The most frequent first.
fn sorted(found: &Found) -> Vec<(&String, &Field)> {
    let mut fields: Vec<_> = found.fields.iter().collect();
    fields.sort_unstable_by(|a, b| b.1.events.cmp(&a.1.events).then(a.0.cmp(b.0)));
    fields
}

fn share(field: &Field, found: &Found) -> f64 {
    field.events as f64 * 100.0 / found.events.max(1) as f64
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}
