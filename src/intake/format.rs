//! What a file holds, as an option.
use clap::ValueEnum;
use clap::builder::PossibleValue;
use sightline_formats::IntelFormat;
use sightline_formats::logs::LogFormat;

/// What a file holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// By content.
    Auto,
    /// Intelligence.
    Intel(IntelFormat),
    /// Logs, of a format or by content.
    Logs(Option<LogFormat>),
}

impl ValueEnum for Format {
    fn value_variants<'a>() -> &'a [Self] {
        use LogFormat as Log;
        const ALL: &[Format] = &[
            Format::Auto,
            Format::Intel(IntelFormat::Stix),
            Format::Intel(IntelFormat::List),
            Format::Intel(IntelFormat::Csv),
            Format::Intel(IntelFormat::Warninglist),
            Format::Logs(None),
            Format::Logs(Some(Log::Json)),
            Format::Logs(Some(Log::Csv)),
            Format::Logs(Some(Log::Zeek)),
            Format::Logs(Some(Log::W3c)),
            Format::Logs(Some(Log::Syslog)),
            Format::Logs(Some(Log::Cef)),
            Format::Logs(Some(Log::Leef)),
            Format::Logs(Some(Log::WindowsXml)),
            Format::Logs(Some(Log::Auditd)),
            Format::Logs(Some(Log::KeyValue)),
            Format::Logs(Some(Log::Text)),
        ];
        ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Auto => PossibleValue::new("auto").help("By content"),
            Self::Intel(IntelFormat::Stix) => PossibleValue::new("stix").help("Intelligence: STIX 2.0 or 2.1"),
            Self::Intel(IntelFormat::List) => PossibleValue::new("list").help("Intelligence: one indicator a line"),
            Self::Intel(IntelFormat::Csv) => PossibleValue::new("csv").help("Intelligence: comma-separated indicators"),
            Self::Intel(IntelFormat::Warninglist) => PossibleValue::new("warninglist").help("An allow-list: a MISP warninglist"),
            Self::Intel(IntelFormat::Auto) => return None,
            Self::Logs(None) => PossibleValue::new("events").alias("logs").help("Logs, their format by content"),
            // `csv` has long been a list of indicators.
            Self::Logs(Some(LogFormat::Csv)) => {
                PossibleValue::new("csv-log").help("Logs: values separated by `,` `;` `|` or tabs, with a header")
            }
            Self::Logs(Some(format)) => PossibleValue::new(format.as_str()).help("Logs of this format"),
        })
    }
}
