#![allow(clippy::unwrap_used)]
use proptest::prelude::*;
use serde_json::{Value, json};

use super::cut::JsonCutter;
use crate::event::fields::Fields;
use crate::limits::Limits;
use crate::logs::frame::{Cut, Step};
use crate::logs::{LogFormat, Piece, PieceReader};

fn json_of(fields: &Fields) -> String {
    let mut json = Vec::new();
    fields.write_json(&mut json);
    String::from_utf8(json).unwrap()
}

/// What a reader makes of a text: `line fields` or `line reason`.
fn read(text: &str, limits: &Limits) -> Vec<String> {
    let mut seen = Vec::new();
    let piece = Piece { format: LogFormat::Json, prelude: b"", body: text.as_bytes(), first_line: 1 };
    PieceReader::new(limits).read(&piece, &mut |read| {
        seen.push(match read.fields {
            Ok(fields) => format!("{} {}", read.line, json_of(fields)),
            Err(refused) => format!("{} {}", read.line, refused.reason),
        });
    });
    seen
}

/// What comes through cutter and reader: all fields, and all reasons.
fn cut_and_read(text: &[u8], target: usize, window: usize, limits: &Limits) -> Vec<String> {
    let (mut cutter, mut reader, mut seen) = (JsonCutter::new(limits.event_bytes), PieceReader::new(limits), Vec::new());
    let (mut at, mut window) = (0, window);
    let first = window;
    while at < text.len() {
        let seen_text = &text[at..(at + window).min(text.len())];
        let used = match cutter.cut(seen_text, target, at + window >= text.len()) {
            Step::More => {
                assert!(at + window < text.len(), "more than there is was asked for");
                window += first;
                continue;
            }
            Step::Skip(used) => used,
            Step::Refused { used, refused } => {
                seen.push(refused.reason.to_owned());
                used
            }
            Step::Piece { body, used } => {
                let piece = Piece { format: LogFormat::Json, prelude: b"", body: &seen_text[body], first_line: 1 };
                reader.read(&piece, &mut |read| {
                    seen.push(read.fields.map_or_else(|refused| refused.reason.to_owned(), |fields| json_of(fields)));
                });
                used
            }
        };
        assert!(used > 0 && used <= seen_text.len());
        at += used;
        window = first;
    }
    seen.extend(cutter.at_end().map(|refused| refused.reason.to_owned()));
    seen
}

#[test]
fn events_are_flattened_in_sorted_order_and_the_bad_ones_named() {
    let limits = Limits { depth: 8, ..Limits::default() };
    assert_eq!(
        read(
            "{\"b\":{\"c\":[1,{\"d\":null}]},\"a\":\"x\",\"t\":[\"u\",2,true]}\r\n\r\nnot json\n[1]\n{\"k\":-9223372036854775808}\n{\"k\":",
            &limits
        ),
        [
            r#"1 {"a":"x","b.c.0":1,"b.c.1.d":null,"t":["u",2,true]}"#,
            "3 invalid-json",
            "4 not-an-object",
            r#"5 {"k":-9223372036854775808}"#,
            "6 truncated",
        ]
    );
    assert_eq!(read(&format!("{{\"a\":{}1{}}}", "[".repeat(20), "]".repeat(20)), &limits), ["1 too-deep"]);
    assert_eq!(read("{\"a\":{},\"b\":[],\"a\":18446744073709551615}", &limits), [r#"1 {"a":18446744073709551615,"b":[]}"#]);
    assert_eq!(read("{\"a\":\"\\u0000\"}\n{\"a\":\"\\ud800\"}", &limits), ["1 nul-character", "2 invalid-json"]);
}

#[test]
fn an_event_over_a_bound_is_refused_alone() {
    let text = format!("{{\"a\":\"{}\"}}\n{{\"b\":1}}", "x".repeat(200));
    assert_eq!(read(&text, &Limits { event_bytes: 100, ..Limits::default() }), ["1 event-too-large", r#"2 {"b":1}"#]);
    let text = "{\"a\":1,\"b\":2,\"c\":3}\n{\"b\":1}\n{\"a\":[1,2,3]}";
    let limits = Limits { event_fields: 2, ..Limits::default() };
    assert_eq!(read(text, &limits), ["1 too-many-fields", r#"2 {"b":1}"#, "3 too-many-fields"]);
}

#[test]
fn a_line_whose_brackets_stay_open_costs_only_itself() {
    for broken in ["{\"a\":", "{\"a\":[", "{\"a\":\"b", "{\"a\":{\"b\":[{", "[{\"a\":1},"] {
        let text = format!("{{\"x\":1}}\n{broken}\n{{\"y\":1}}\n{{\"z\":1}}\n");
        let seen = cut_and_read(text.as_bytes(), 1 << 20, 1 << 20, &Limits::default());
        for whole in [r#"{"x":1}"#, r#"{"z":1}"#] {
            assert!(seen.iter().any(|seen| seen == whole), "{broken}: {seen:?}");
        }
        assert!(seen.iter().any(|seen| !seen.starts_with('{')), "{broken}: {seen:?}");
    }
}

#[test]
fn a_broken_member_of_a_list_on_one_line_costs_only_itself() {
    for broken in [r#"{"a":1 {"b":2}}"#, r#"{"a" {"b":2}}"#, r#"{"a":"b"{}}"#] {
        for (open, close) in [("[", "]"), ("{\"Records\":[", "]}")] {
            let text = format!("{open}{{\"x\":1}},{broken},{{\"y\":1}},{{\"z\":1}}{close}");
            let seen = cut_and_read(text.as_bytes(), 1 << 20, 1 << 20, &Limits::default());
            assert_eq!(seen, [r#"{"x":1}"#, "invalid-json", r#"{"y":1}"#, r#"{"z":1}"#], "{text}");
        }
    }
}

#[test]
fn what_only_wraps_a_list_is_no_event() {
    for text in [
        r#"{"Records":[{"a":1},{"a":2}]}"#,
        "{\n \"@odata.context\": \"x\",\n \"count\": 2,\n \"value\": [ {\"a\":1} , {\"a\":2} ], \"next\": {\"page\":[2]}\n}",
        r#"{"Records":[{"a":1}]}{"Records":[{"a":2}]}"#,
        "{\"Records\":[{\"a\":1}]}\n{\"Records\":[{\"a\":2}]}\n",
        "[{\"a\":1},\n{\"a\":2}]",
        " \n[\n[],\n]{\"a\":1}[{\"a\":2}]",
    ] {
        let mut seen = cut_and_read(text.as_bytes(), 10, 4, &Limits::default());
        seen.retain(|seen| seen != "not-an-object");
        assert_eq!(seen, [r#"{"a":1}"#, r#"{"a":2}"#], "{text}");
        seen = cut_and_read(text.as_bytes(), 1 << 20, 1 << 20, &Limits::default());
        seen.retain(|seen| seen != "not-an-object");
        assert_eq!(seen, [r#"{"a":1}"#, r#"{"a":2}"#], "{text}");
    }
    for event in [r#"{"Records":[]}"#, r#"{"id":{"a":1},"events":[{"a":1}]}"#, r#"{"Records":[1]}"#] {
        assert_eq!(read(event, &Limits::default()).len(), 1, "{event}");
        assert_eq!(cut_and_read(event.as_bytes(), 1, 1, &Limits::default()).len(), 1, "{event}");
    }
}

/// How documents are put together.
#[derive(Clone, Copy, Debug)]
enum Arrangement {
    Lines,
    Pretty,
    Concatenated,
    List,
    PrettyList,
    Wrapped,
}

fn arrange(arrangement: Arrangement, events: &[Value]) -> String {
    let lines = |separator: &str| events.iter().map(Value::to_string).collect::<Vec<_>>().join(separator);
    match arrangement {
        Arrangement::Lines => lines("\r\n") + "\n",
        Arrangement::Concatenated => lines(""),
        Arrangement::Pretty => events.iter().map(|event| format!("{event:#}\n")).collect(),
        Arrangement::List => format!("[{}]", lines(",")),
        Arrangement::PrettyList => format!("{:#}\n", json!(events)),
        Arrangement::Wrapped => format!("{{\"page\":\"}}[\",\"Records\":[{}],\"rest\":[{{}}]}}\n", lines(",\n")),
    }
}

fn events() -> impl Strategy<Value = Vec<Value>> {
    let text = "[a-c{}\\[\\]\",:\\\\\n ]{0,6}";
    let scalar = prop_oneof![any::<i64>().prop_map(Value::from), text.prop_map(Value::from), Just(Value::Null)];
    let value = scalar.prop_recursive(3, 12, 3, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map(text, inner, 0..3).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    proptest::collection::vec(value.prop_map(|value| json!({ "n": value })), 1..6)
}

proptest! {
    #[test]
    fn every_event_arrives_however_documents_are_arranged_and_cut(
        files in proptest::collection::vec((prop_oneof![
            Just(Arrangement::Lines), Just(Arrangement::Pretty), Just(Arrangement::Concatenated),
            Just(Arrangement::List), Just(Arrangement::PrettyList), Just(Arrangement::Wrapped),
        ], events()), 1..4),
        target in 1usize..200,
        window in 1usize..200,
    ) {
        let text: String = files.iter().map(|(arrangement, events)| arrange(*arrangement, events)).collect();
        let expected: Vec<_> = files.iter().flat_map(|(_, events)| events).map(|event| read(&event.to_string(), &Limits::default())[0][2..].to_owned()).collect();
        prop_assert_eq!(cut_and_read(text.as_bytes(), target, window, &Limits::default()), expected, "{}", text);
    }

    #[test]
    fn nothing_that_comes_in_panics_or_hangs(bytes in proptest::collection::vec(prop_oneof![
        4 => proptest::sample::select(b"{}[]\",:\\\n ae1".to_vec()), 1 => any::<u8>(),
    ], 0..60), target in 1usize..40, window in 1usize..40) {
        cut_and_read(&bytes, target, window, &Limits { event_bytes: 30, depth: 4, ..Limits::default() });
    }
}
