#![allow(clippy::unwrap_used)]
use super::super::LogFormat;
use super::super::tests::{pieces, read};

fn one(line: &str) -> String {
    let seen = read(LogFormat::Syslog, line);
    assert_eq!(seen.len(), 1, "{line}: {seen:?}");
    seen[0].clone()
}

#[test]
fn rfc_5424_gives_header_and_structured_data() {
    assert_eq!(
        one(
            r#"<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog 8710 ID47 [exampleSDID@32473 iut="3" eventSource="App\]\"x"][empty@1] An application event"#
        ),
        r#"1 {"log.syslog.appname":"evntslog","log.syslog.facility.code":20,"log.syslog.facility.name":"local4","log.syslog.hostname":"mymachine.example.com","log.syslog.msgid":"ID47","log.syslog.priority":165,"log.syslog.procid":"8710","log.syslog.severity.code":5,"log.syslog.severity.name":"notice","log.syslog.version":1,"message":"An application event","sd.empty@1":{},"sd.exampleSDID@32473.eventSource":"App]\"x","sd.exampleSDID@32473.iut":"3","timestamp":"2003-10-11T22:14:15.003Z"}"#
    );
    assert_eq!(
        one("<34>1 - - - - - -"),
        r#"1 {"log.syslog.facility.code":4,"log.syslog.facility.name":"auth","log.syslog.priority":34,"log.syslog.severity.code":2,"log.syslog.severity.name":"crit","log.syslog.version":1,"message":""}"#
    );
}

#[test]
fn rfc_3164_is_read_with_and_without_priority_host_and_tag() {
    let fields = |line: &str| one(line).split_once("\"log.syslog.severity.name\":\"crit\",").unwrap().1.to_owned();
    assert!(one("<34>Oct 11 22:14:15 mymachine su: 'su root' failed").contains(r#""log.syslog.appname":"su""#));
    assert_eq!(fields("<34>Oct 11 22:14:15 mymachine su[12]: - failed"), r#""message":"- failed","timestamp":"Oct 11 22:14:15"}"#);
    assert_eq!(
        fields("<34>Feb  9 2024 22:14:15 host last message repeated"),
        r#""message":"last message repeated","timestamp":"Feb  9 2024 22:14:15"}"#
    );
    assert_eq!(fields("<34>some text of a device"), r#""message":"some text of a device"}"#);
    assert_eq!(
        one("Oct 11 22:14:15 mymachine sshd[42]: [x] Failed password for root"),
        r#"1 {"log.syslog.appname":"sshd","log.syslog.hostname":"mymachine","log.syslog.procid":"42","message":"[x] Failed password for root","timestamp":"Oct 11 22:14:15"}"#
    );
    assert_eq!(
        one("2024-05-01T10:00:00.123456+02:00 web1 systemd[1]: Started x."),
        r#"1 {"log.syslog.appname":"systemd","log.syslog.hostname":"web1","log.syslog.procid":"1","message":"Started x.","timestamp":"2024-05-01T10:00:00.123456+02:00"}"#
    );
    assert!(one("<34>Oct 11 22:14:15 cron: done").ends_with(r#""message":"done","timestamp":"Oct 11 22:14:15"}"#));
    assert_eq!(one("    at java.lang.Thread.run"), "1 not-syslog");
}

#[test]
fn a_payload_is_read_further() {
    for (payload, fields) in [
        (r#"app: {"a":{"b":1},"timestamp":"x"}"#, r#""timestamp":"x""#),
        (r#"{"a":{"b":1}}"#, r#""a.b":1"#),
        ("audispd: type=CWD msg=audit(1.5:8): cwd=\"/x\"", r#""cwd":"/x""#),
        ("date=2024-05-01 srcip=192.0.2.7 msg=\"a b\"", r#""srcip":"192.0.2.7""#),
        ("LEEF:1.0|V|P|1|id|src=10.0.0.1\tdst=10.0.0.2", r#""dst":"10.0.0.2""#),
        ("CEF:0|V|P|1|2|N|3|src=10.0.0.1", r#""src":"10.0.0.1""#),
        ("app: {not json}", r#""message":"{not json}""#),
    ] {
        let seen = one(&format!("<13>Oct 11 22:14:15 host {payload}"));
        let message = payload.strip_prefix("app: ").or_else(|| payload.strip_prefix("audispd: ")).unwrap_or(payload);
        let message = serde_json::to_string(message).unwrap();
        for expected in [fields, r#""log.syslog.hostname":"host""#, &format!("\"message\":{message}")] {
            assert!(seen.contains(expected), "{expected} in {seen}");
        }
    }
}

#[test]
fn counted_messages_may_hold_line_ends_and_stand_among_lines() {
    let counted = |text: &str| format!("{} {text}", text.len());
    let log = format!("{}{}<13>a line\n{}\n<13>last", counted("<13>two\nlines"), counted("<13>x"), counted("<13>y"));
    let messages = ["two\\nlines", "x", "a line", "y", "last"];
    for seen in [read(LogFormat::Syslog, &log), pieces(LogFormat::Syslog, &log, 1), pieces(LogFormat::Syslog, &log, 1000)] {
        assert_eq!(seen.len(), messages.len(), "{seen:?}");
        for (seen, message) in seen.iter().zip(messages) {
            assert!(seen.contains(&format!("\"message\":\"{message}\"")), "{message} in {seen}");
        }
    }
    assert_eq!(read(LogFormat::Syslog, "99 <13>cut off"), ["1 truncated"]);
}
