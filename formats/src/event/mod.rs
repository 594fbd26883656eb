//! Events: NDJSON, one JSON object, or an array of them, flattened.
mod flatten;
mod observables;
mod time;

use serde_json::Value;
use sightline_schemas::{ContentHash, Micros, Observable};

use crate::limits::Limits;
use crate::poison::Poison;

/// An observable, and the field it was found in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FoundObservable {
    /// What.
    pub observable: Observable,
    /// Dotted name of the field.
    pub field: String,
}

/// A flattened event.
#[derive(Clone, PartialEq, Debug)]
pub struct FlatEvent {
    /// Event time, if it names one.
    pub timestamp: Option<Micros>,
    /// One flat JSON object: dotted keys, sorted.
    pub fields: String,
    /// Hash of the canonical content: the same event in another order of keys is the same event.
    pub hash: ContentHash,
    /// Sorted, distinct.
    pub observables: Vec<FoundObservable>,
}

/// What the parser hands out.
#[derive(Clone, PartialEq, Debug)]
pub enum EventItem {
    /// An event.
    Event {
        /// Its number in the input.
        index: u64,
        /// What it is.
        event: Box<FlatEvent>,
    },
    /// A part that was refused.
    Poison(Poison),
}

/// Reads events: one a line, or an array of them; CRLF, blank lines and a byte order mark are tolerated. Returns how many there were.
pub fn parse_events(bytes: &[u8], limits: &Limits, out: &mut dyn FnMut(EventItem)) -> u64 {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut index = 0;
    // One document over several lines, or an array of events.
    if bytes.len() <= limits.event_bytes.saturating_mul(16)
        && matches!(bytes.iter().find(|b| !b.is_ascii_whitespace()), Some(b'['))
        && let Ok(Value::Array(events)) = serde_json::from_slice(bytes)
    {
        for (at, event) in events.into_iter().enumerate() {
            take(format!("$[{at}]"), event, bytes, &mut index, limits, out);
        }
        return index;
    }
    if bytes.len() <= limits.event_bytes
        && let Ok(event @ Value::Object(_)) = serde_json::from_slice(bytes)
    {
        take("$".into(), event, bytes, &mut index, limits, out);
        return index;
    }
    let mut start = 0;
    let ends = memchr::memchr_iter(b'\n', bytes).chain((!bytes.ends_with(b"\n")).then_some(bytes.len()));
    for (number, end) in (1u64..).zip(ends) {
        let line = bytes[start..end].trim_ascii();
        start = end + 1;
        if line.is_empty() {
            continue;
        }
        let position = format!("line {number}");
        if line.len() > limits.event_bytes {
            let message = format!("an event larger than limits.event_bytes ({})", limits.event_bytes);
            out(EventItem::Poison(Poison::parse(position, "event-too-large", message, line, limits)));
            continue;
        }
        match serde_json::from_slice::<Value>(line) {
            Ok(event) => take(position, event, line, &mut index, limits, out),
            Err(error) => {
                let reason = if std::str::from_utf8(line).is_err() { "invalid-utf8" } else { "invalid-json" };
                out(EventItem::Poison(Poison::parse(position, reason, error.to_string(), line, limits)));
            }
        }
    }
    index
}

fn take(position: String, event: Value, bytes: &[u8], index: &mut u64, limits: &Limits, out: &mut dyn FnMut(EventItem)) {
    let Value::Object(object) = &event else {
        return out(EventItem::Poison(Poison::validate(position, "not-an-object", "expected a JSON object", bytes, limits)));
    };
    let flat = match flatten::flatten(object, limits) {
        Ok(flat) => flat,
        Err((reason, message)) => return out(EventItem::Poison(Poison::validate(position, reason, message, bytes, limits))),
    };
    let event = FlatEvent {
        timestamp: time::of(&flat),
        observables: observables::of(&flat),
        hash: ContentHash::of(event.to_string().as_bytes()),
        fields: flatten::to_json(&flat),
    };
    out(EventItem::Event { index: *index, event: Box::new(event) });
    *index += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        parse_events(text.as_bytes(), &Limits { depth: 8, ..Limits::default() }, &mut |item| {
            seen.push(match item {
                EventItem::Event { event, .. } => {
                    let observables: Vec<_> =
                        event.observables.iter().map(|found| format!("{}={}", found.field, found.observable.value())).collect();
                    format!("{} {} {}", event.timestamp.map(|at| at.to_string()).unwrap_or_default(), event.fields, observables.join(" "))
                }
                EventItem::Poison(poison) => format!("{} {}", poison.position, poison.reason),
            });
        });
        seen
    }

    #[test]
    fn events_are_flattened_in_sorted_order_and_the_bad_ones_named() {
        assert_eq!(
            read(
                "{\"b\":{\"c\":[1,{\"d\":null}]},\"a\":\"x\",\"@timestamp\":\"2020-09-14T00:44:20Z\"}\r\n\r\nnot json\n[1]\n{\"k\":-9223372036854775808}"
            ),
            [
                r#"2020-09-14T00:44:20Z {"@timestamp":"2020-09-14T00:44:20Z","a":"x","b.c.0":1,"b.c.1.d":null} "#,
                "line 3 invalid-json",
                "line 4 not-an-object",
                r#" {"k":-9223372036854775808} "#
            ]
        );
        assert_eq!(read(&format!("{{\"a\":{}1{}}}", "[".repeat(20), "]".repeat(20))), ["$ too-deep"]);
    }

    #[test]
    fn an_event_is_known_by_its_content_not_by_the_order_of_its_keys() {
        let mut hashes = Vec::new();
        parse_events(b"{\"a\":1,\"b\":{\"c\":2}}\n{ \"b\": {\"c\":2}, \"a\":1 }\n{\"a\":1,\"b.c\":2}", &Limits::default(), &mut |item| {
            if let EventItem::Event { event, .. } = item {
                hashes.push((event.hash, event.fields));
            }
        });
        assert_eq!(hashes[0], hashes[1]);
        assert_eq!(hashes[0].1, hashes[2].1);
    }

    #[test]
    fn an_event_over_the_bound_is_refused_alone() {
        let text = format!("{{\"a\":\"{}\"}}\n{{\"b\":1}}", "x".repeat(200));
        let mut seen = Vec::new();
        parse_events(text.as_bytes(), &Limits { event_bytes: 100, dead_letter_bytes: 10, ..Limits::default() }, &mut |item| {
            seen.push(match item {
                EventItem::Event { event, .. } => event.fields,
                EventItem::Poison(poison) => format!("{} {} {}", poison.position, poison.reason, poison.bytes.len()),
            });
        });
        assert_eq!(seen, ["line 1 event-too-large 10", r#"{"b":1}"#]);
    }

    #[test]
    fn a_name_is_a_host_only_where_the_field_says_so() {
        let event = r#"{"process":{"name":"svchost.exe"},"dns":{"question":{"name":"evil.example"},"answers":[{"name":"a.evil.example"}]},"server_name":"b.example"}"#;
        assert_eq!(
            read(event)[0].split("} ").last(),
            Some("dns.answers.0.name=a.evil.example server_name=b.example dns.question.name=evil.example")
        );
    }

    #[test]
    fn observables_are_found_by_value_and_names_by_field() {
        assert_eq!(
            read(r#"{"dst":{"ip":"198.51.100.7"},"QueryName":"Evil.Example","note":"evil.example","Hashes":"MD5=D41D8CD98F00B204E9800998ECF8427E,IMPHASH=00","u":"http://a.example/x"}"#)[0]
                .split("} ")
                .last(),
            Some("dst.ip=198.51.100.7 u=a.example QueryName=evil.example u=http://a.example/x Hashes=d41d8cd98f00b204e9800998ecf8427e")
        );
    }
}
