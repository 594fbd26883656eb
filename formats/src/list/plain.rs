//! One indicator a line, in the dialects of block lists: plain, hosts files, dnsmasq, AdBlock, response policy zones, `value;comment`, `value<TAB>count`.
use std::collections::BTreeMap;

use bytes::Bytes;
use sightline_schemas::Observable;

use super::{emit, recognise};
use crate::intel::{Counted, IntelItem, PackageDigest};
use crate::limits::Limits;
use crate::poison::Poison;

/// Reads a list.
pub(crate) fn parse(parts: &[Bytes], limits: &Limits, out: &mut dyn FnMut(IntelItem)) -> Result<PackageDigest, Poison> {
    let mut counted = Counted::new("list", out);
    let mut said = BTreeMap::new();
    let mut lines = Lines::new(limits);
    for part in parts {
        lines.feed(part, &mut |number, line| read(number, line, limits, &mut said, &mut counted));
    }
    lines.finish(&mut |number, line| read(number, line, limits, &mut said, &mut counted));
    emit(said, &mut counted);
    Ok(counted.finish())
}

fn read(number: u64, line: &[u8], limits: &Limits, said: &mut BTreeMap<Observable, super::Said>, counted: &mut Counted<'_>) {
    let mut poison = |reason, message: &str| counted.poison(Poison::parse(format!("line {number}"), reason, message, line, limits));
    if line.len() > limits.line_bytes {
        return poison("line-too-long", "a line longer than limits.line_bytes");
    }
    // Lists of before UTF-8 are Latin-1: values are ASCII, so only comments can be hurt.
    let text = String::from_utf8_lossy(line);
    let text = text.trim().trim_start_matches('\u{feff}');
    if text.is_empty() || ["#", ";", "//", "!", "$TTL", "@", "["].iter().any(|start| text.starts_with(start)) && recognise(text).is_none() {
        return;
    }
    match value(text) {
        Value::Found(observable) => {
            if said.len() as u64 >= limits.package_objects && !said.contains_key(&observable) {
                return poison("too-many-objects", "more values than limits.package_objects; split the list");
            }
            said.entry(observable).or_default();
        }
        Value::Nothing => {}
        Value::Unknown => poison("unrecognised-line", "no address, domain, URL, e-mail address or hash"),
    }
}

/// Whether a line names an indicator and, but for a remark behind a mark, hardly anything else.
pub(super) fn is_indicator_line(line: &str) -> bool {
    match value(line) {
        Value::Unknown => false,
        Value::Nothing => true,
        Value::Found(_) => line.split([';', '#']).next().is_some_and(|said| said.split_whitespace().count() <= 4),
    }
}

enum Value {
    Found(Observable),
    /// A line of the dialect that names nothing.
    Nothing,
    Unknown,
}

fn value(text: &str) -> Value {
    if let Some(observable) = recognise(text) {
        return Value::Found(observable);
    }
    // AdBlock `||name^`, dnsmasq `address=/name/0.0.0.0` and `server=/name/`.
    if let Some(rest) = text.strip_prefix("||") {
        return found(rest.split(['^', '$', '/']).next());
    }
    if let Some((_, rest)) = text.split_once("=/") {
        return found(rest.split('/').next());
    }
    let words: Vec<&str> = text.split([' ', '\t', ';', ',']).filter(|word| !word.is_empty()).collect();
    match words[..] {
        // Hosts files: where to, then the name.
        ["0.0.0.0" | "127.0.0.1" | "::1" | "::", name, ..] => match name {
            "localhost" | "localhost.localdomain" | "local" | "broadcasthost" | "ip6-localhost" | "ip6-loopback" | "0.0.0.0" => {
                Value::Nothing
            }
            name => found(Some(name)),
        },
        // Response policy zones: `name CNAME .`, and their own records.
        [name, "CNAME" | "IN", ..] => found(Some(name.trim_start_matches("*."))),
        [_, "SOA" | "NS", ..] | ["NS" | "SOA", ..] => Value::Nothing,
        [first, ..] => found(Some(first)),
        [] => Value::Nothing,
    }
}

fn found(text: Option<&str>) -> Value {
    text.and_then(recognise).map_or(Value::Unknown, Value::Found)
}

/// Lines of bytes that come in parts; a line that is too long is cut, one byte past the bound.
struct Lines<'l> {
    limits: &'l Limits,
    carry: Vec<u8>,
    number: u64,
}

impl<'l> Lines<'l> {
    fn new(limits: &'l Limits) -> Self {
        Self { limits, carry: Vec::new(), number: 0 }
    }

    fn feed(&mut self, part: &[u8], each: &mut dyn FnMut(u64, &[u8])) {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', part) {
            self.number += 1;
            if self.carry.is_empty() {
                each(self.number, &part[start..end]);
            } else {
                self.keep(&part[start..end]);
                each(self.number, &self.carry);
                self.carry.clear();
            }
            start = end + 1;
        }
        self.keep(&part[start..]);
    }

    fn finish(&mut self, each: &mut dyn FnMut(u64, &[u8])) {
        if !self.carry.is_empty() {
            each(self.number + 1, &self.carry);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = (self.limits.line_bytes + 1).saturating_sub(self.carry.len());
        self.carry.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read_list(text: &str) -> (Vec<String>, Vec<String>) {
        let (mut values, mut poisons) = (Vec::new(), Vec::new());
        parse(&[Bytes::copy_from_slice(text.as_bytes())], &Limits::default(), &mut |item| match item {
            IntelItem::Object { object, .. } => {
                values.push(format!("{} {}", object.holds[0].observable.kind(), object.holds[0].observable.value()))
            }
            IntelItem::Poison(poison) => poisons.push(format!("{} {}", poison.position, poison.reason)),
        })
        .unwrap();
        (values, poisons)
    }

    #[test]
    fn the_dialects_of_block_lists_give_the_same_values() {
        for text in [
            "evil.example\n",
            "# c\r\nEVIL.example\r\n",
            "0.0.0.0 evil.example\n127.0.0.1 localhost",
            "||evil.example^",
            "address=/evil.example/0.0.0.0",
            "evil.example CNAME .\n",
            "evil[.]example;seen twice",
            "evil.example\t7\nevil.example",
        ] {
            assert_eq!(read_list(text), (vec!["domain-name evil.example".to_owned()], vec![]), "{text}");
        }
    }

    #[test]
    fn kinds_are_told_by_value_and_the_rest_is_named_by_line() {
        let (values, poisons) =
            read_list("198.51.100.0/24\n2001:db8::1\nhttp://a.example/x\nd41d8cd98f00b204e9800998ecf8427e;empty\nnothing\n");
        assert_eq!(
            values,
            ["ipv4-addr 198.51.100.0/24", "ipv6-addr 2001:db8::1", "url http://a.example/x", "file-md5 d41d8cd98f00b204e9800998ecf8427e"]
        );
        assert_eq!(poisons, ["line 5 unrecognised-line"]);
    }
}
