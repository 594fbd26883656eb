//! The header of a message.
use chrono::Utc;
use syslog_loose::{Message, ProcId, Protocol, Variant, decompose_pri, parse_message_with_year_exact_tz};

use crate::event::fields::{FieldScalar, Fields, Refused};

/// For the reader of a date that has no year: a leap year, so that the 29th of February is a day. What it makes of the date is not used.
const LEAP_YEAR: i32 = 1972;

/// A header, and what follows it.
pub(super) struct Header<'a> {
    priority: Option<u8>,
    parsed: Option<Message<&'a str>>,
    timestamp: Option<&'a str>,
    hostname: Option<&'a str>,
    appname: Option<&'a str>,
    pub(super) message: &'a str,
}

/// Whether a line begins as a message does: with a priority, or with a time and a host.
pub(super) fn begins(line: &str) -> bool {
    if priority(line).is_some() {
        return true;
    }
    let mut words = line.split_ascii_whitespace();
    let (first, second, third) = (words.next().unwrap_or_default(), words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if is_month(first) {
        let is_clock = |word: &str| word.split(':').filter(|part| part.parse::<u8>().is_ok()).count() >= 3;
        return second.parse::<u8>().is_ok() && (is_clock(third) || third.parse::<u16>().is_ok() && words.next().is_some_and(is_clock));
    }
    // As rsyslog writes files: an instant, the host, and a tag.
    let is_instant = first.len() >= 19 && first.as_bytes()[10] == b'T' && first.as_bytes()[..4].iter().all(u8::is_ascii_digit);
    is_instant && !second.is_empty() && third.ends_with(':')
}

fn is_month(word: &str) -> bool {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    MONTHS.iter().any(|month| month.eq_ignore_ascii_case(word))
}

/// The number in angle brackets, and the length with them.
fn priority(line: &str) -> Option<(u8, usize)> {
    let (number, _) = line.strip_prefix('<')?.split_once('>').filter(|(number, _)| number.len() <= 3)?;
    let priority = number.parse().ok().filter(|priority| *priority < 192)?;
    Some((priority, number.len() + 2))
}

impl<'a> Header<'a> {
    /// Of a message without blanks around it.
    pub(super) fn of(text: &'a str) -> Result<Self, Refused> {
        if !begins(text) {
            return Err(Refused::new("not-syslog", "neither a priority nor a time and a host at the start"));
        }
        let (priority, length) = priority(text).map_or((None, 0), |(priority, length)| (Some(priority), length));
        let Ok(parsed) = parse_message_with_year_exact_tz(text, |_| LEAP_YEAR, Some(Utc), Variant::Either) else {
            // A priority and a text, as devices with a format of their own have it.
            let message = text[length..].trim_start();
            return Ok(Self { priority, parsed: None, timestamp: None, hostname: None, appname: None, message });
        };
        let after = text[length..].trim_start();
        let mut header =
            Self { priority, timestamp: None, hostname: parsed.hostname, appname: parsed.appname, message: parsed.msg, parsed: None };
        if let Protocol::RFC5424(_) = parsed.protocol {
            let time = after.split_ascii_whitespace().nth(1).unwrap_or_default();
            header.timestamp = (time != "-").then_some(time);
            header.message = parsed.msg.trim_start_matches('\u{feff}');
        } else {
            header.timestamp = written_time(after);
            header.mend(text, &parsed);
        }
        header.parsed = Some(parsed);
        Ok(header)
    }

    /// Takes back what the reader of RFC 3164 makes of texts without a tag.
    fn mend(&mut self, text: &'a str, parsed: &Message<&'a str>) {
        if !parsed.structured_data.is_empty() {
            return;
        }
        let mut before = text[..text.len() - parsed.msg.len()].trim_end();
        if let Some(dashless) = before.strip_suffix('-').filter(|rest| rest.ends_with([' ', ':'])) {
            // It took a dash for absent structured data.
            self.message = &text[dashless.len()..];
            before = dashless.trim_end();
        }
        if before.ends_with(':') {
            // `prog: text`: no host.
            if parsed.appname.is_none() && parsed.procid.is_none() {
                (self.appname, self.hostname) = (self.hostname, None);
            }
        } else if let Some(word) = parsed.appname.filter(|_| parsed.procid.is_none()) {
            // `host text`: the first word is no tag.
            if let Some(start) = before.rfind(word) {
                self.message = &text[start..];
                self.appname = None;
            }
        }
    }

    /// Puts the header's fields.
    pub(super) fn put(&self, fields: &mut Fields) -> Result<(), Refused> {
        if let Some(priority) = self.priority {
            fields.put("log.syslog.priority", FieldScalar::Uint(priority.into()))?;
            let (facility, severity) = decompose_pri(priority);
            fields.put("log.syslog.facility.code", FieldScalar::Uint(u64::from(priority / 8)))?;
            fields.put("log.syslog.severity.code", FieldScalar::Uint(u64::from(priority % 8)))?;
            if let Some(facility) = facility {
                fields.text("log.syslog.facility.name", facility.as_str())?;
            }
            if let Some(severity) = severity {
                fields.text("log.syslog.severity.name", severity.as_str())?;
            }
        }
        for (name, value) in [("timestamp", self.timestamp), ("log.syslog.hostname", self.hostname), ("log.syslog.appname", self.appname)] {
            if let Some(value) = value {
                fields.text(name, value)?;
            }
        }
        let Some(parsed) = &self.parsed else { return Ok(()) };
        if let Protocol::RFC5424(version) = parsed.protocol {
            fields.put("log.syslog.version", FieldScalar::Uint(version.into()))?;
        }
        match &parsed.procid {
            Some(ProcId::PID(number)) => fields.text("log.syslog.procid", &number.to_string())?,
            Some(ProcId::Name(name)) => fields.text("log.syslog.procid", name)?,
            None => {}
        }
        if let Some(id) = parsed.msgid {
            fields.text("log.syslog.msgid", id)?;
        }
        for element in &parsed.structured_data {
            if element.params.is_empty() {
                fields.empty_object(&format!("sd.{}", element.id))?;
            }
            for (name, value) in element.params() {
                fields.text(&format!("sd.{}.{name}", element.id), &value)?;
            }
        }
        Ok(())
    }
}

/// The time that a text begins with: `Oct 11 22:14:15`, `Oct 11 2003 22:14:15`, or an instant.
fn written_time(text: &str) -> Option<&str> {
    let words = if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        1
    } else if text.split_ascii_whitespace().nth(2)?.contains(':') {
        3
    } else {
        4
    };
    let mut rest = text;
    for _ in 0..words {
        rest = rest.trim_start();
        rest = &rest[rest.find(char::is_whitespace).unwrap_or(rest.len())..];
    }
    let time = text[..text.len() - rest.len()].trim_end_matches(':');
    (time != "-" && !time.is_empty()).then_some(time)
}
