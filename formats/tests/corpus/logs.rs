//! Real logs in formats of lines, against the counts of other programs.
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use sightline_formats::Limits;
use sightline_formats::logs::{LogFormat, Piece, PieceReader, detect};

use super::data;

/// A member of an archive.
fn member(archive: &Path, name: &str) -> Vec<u8> {
    let output = Command::new("unzip").arg("-p").arg(archive).arg(name).output().unwrap();
    assert!(output.status.success(), "unzip could not read {name} of {}", archive.display());
    output.stdout
}

/// Format, records and refusals of a file.
fn read(bytes: &[u8]) -> (LogFormat, Vec<serde_json::Value>, Vec<String>) {
    let head = &bytes[..bytes.len().min(detect::HEAD)];
    let whole = head.iter().rposition(|byte| *byte == b'\n').map_or(head.len(), |at| at + 1);
    let format = detect::detect(&head[..whole]);
    let (mut records, mut refused) = (Vec::new(), Vec::new());
    let piece = Piece { format, prelude: b"", body: bytes, first_line: 1 };
    PieceReader::new(&Limits::default()).read(&piece, &mut |read| match read.fields {
        Ok(fields) => {
            let mut json = Vec::new();
            fields.write_json(&mut json);
            records.push(serde_json::from_slice(&json).unwrap());
        }
        Err(why) => refused.push(format!("line {} {}: {}", read.line, why.reason, why.message)),
    });
    (format, records, refused)
}

#[test]
fn zeek_logs_hold_a_record_a_line_that_is_no_header() {
    let archive = "otrf-security-datasets/compound/LSASS_campaign_05/metasploit_sharpdump_lsass_memory_dump_zeek_logs.zip";
    let Some(archive) = data::path(archive) else { return };
    let mut all = 0;
    for log in ["analyzer", "conn", "dns", "files", "http", "kerberos", "packet_filter", "pe", "smb_mapping", "ssl", "weird", "x509"] {
        let bytes = member(&archive, &format!("*{log}.log"));
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && !line.starts_with(b"#")).count();
        let (format, records, refused) = read(&bytes);
        assert_eq!((format, refused), (LogFormat::Zeek, Vec::new()), "{log}");
        assert_eq!(records.len(), lines, "{log}");
        assert!(records.iter().all(|record| record["_path"] == log && record["ts"].is_number()), "{log}");
        all += lines;
    }
    assert!(all > 1_000, "{all}");
}

#[test]
fn a_csv_file_holds_a_record_a_row() {
    let Some(archive) = data::path("otrf-security-datasets/atomic/aws/discovery/aws_s3_honeybucketlogs.zip") else { return };
    let (format, records, refused) = read(&member(&archive, "*.csv"));
    // The index counts 302 lines; Python's reader of CSV as many rows with the header.
    assert_eq!((format, records.len(), refused), (LogFormat::Csv, 301, Vec::new()));
    assert!(records.iter().all(|record| record["Event Name"].is_string() && record.as_object().unwrap().len() == 12));
}

#[test]
fn an_audit_log_holds_a_record_a_line() {
    let Some(archive) = data::path("otrf-security-datasets/atomic/linux/discovery/host/sh_arp_cache.zip") else { return };
    let (format, records, refused) = read(&member(&archive, "*.log"));
    assert_eq!((format, records.len(), refused), (LogFormat::Auditd, 12, Vec::new()));
    assert_eq!(records[5]["proctitle"], "arp -a");
}

#[test]
fn audit_records_within_other_events_are_read_by_the_same_reader() {
    let archive = "otrf-security-datasets/compound/Log4Shell/syslog_auoms_auditd_log4shell_cve2021_44228_jndi_reference.zip";
    let Some(archive) = data::path(archive) else { return };
    let mut lines = String::new();
    member(&archive, "*.json").as_slice().read_to_string(&mut lines).unwrap();
    let messages: Vec<String> = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["SyslogMessage"].as_str().unwrap_or_default().to_owned())
        .filter(|message| message.starts_with("type="))
        .collect();
    let (format, records, refused) = read(messages.join("\n").as_bytes());
    assert_eq!((format, records.len(), refused), (LogFormat::Auditd, messages.len(), Vec::new()));
    assert!(records.iter().all(|record| record["type"].as_str().unwrap().starts_with("AUOMS") && record["timestamp"].is_string()));
}
