//! The cutter of each format.
use super::LogFormat;
use super::delimited::RecordCutter;
use super::frame::Cut;
use super::json::JsonCutter;
use super::lines::{HeadedCutter, LineCutter};
use super::syslog::MessageCutter;
use super::windows_xml::EventCutter;
use super::{w3c, zeek};
use crate::limits::Limits;

/// What cuts a stream of a format.
pub(crate) fn cutter(format: LogFormat, limits: &Limits) -> Box<dyn Cut> {
    match format {
        LogFormat::Json => Box::new(JsonCutter::new(limits.event_bytes)),
        LogFormat::Csv => Box::new(RecordCutter::new(limits)),
        LogFormat::Zeek => Box::new(HeadedCutter::new(zeek::HEADER, limits)),
        LogFormat::W3c => Box::new(HeadedCutter::new(w3c::HEADER, limits)),
        LogFormat::Syslog | LogFormat::Cef | LogFormat::Leef => Box::new(MessageCutter::new(limits)),
        LogFormat::WindowsXml => Box::new(EventCutter::new(limits)),
        LogFormat::Auditd | LogFormat::KeyValue | LogFormat::Text => Box::new(LineCutter::new(limits)),
    }
}
