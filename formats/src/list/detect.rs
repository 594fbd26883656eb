//! Tells a list of indicators from a log, by the beginning of either: in a list most lines name an indicator and hardly anything else.
use super::csv_list::{is_indicator_header, is_kind};
use super::plain::is_indicator_line;
use super::recognise;
use crate::intel::IntelFormat;

/// How many lines are looked at.
const SAMPLE: usize = 200;
/// A row of a log has more fields, unless it says what kind of indicator it names.
const FEW_FIELDS: usize = 4;

/// The dialect of a list that begins with `head`; none when it is something else.
pub(crate) fn detect(head: &[u8]) -> Option<IntelFormat> {
    let lines = || {
        let lines = head.split(|byte| *byte == b'\n').map(String::from_utf8_lossy);
        lines.map(|line| line.trim().trim_start_matches('\u{feff}').to_owned()).filter(|line| !is_comment(line)).take(SAMPLE)
    };
    let all = lines().count();
    if all == 0 {
        return None;
    }
    let most = |is_like: &dyn Fn(&str) -> bool| lines().filter(|line| is_like(line)).count() * 5 > all * 3;
    // The end of the head may lie within a row; so may a quoted line end.
    let rows = || lines().map(|line| line.split(',').map(|field| field.trim().trim_matches('"').to_owned()).collect::<Vec<_>>());
    let has_commas = rows().filter(|row| row.len() > 1).count() * 5 > all * 3;
    if has_commas {
        let first: Vec<String> = rows().next().unwrap_or_default();
        let named = is_indicator_header(&first.iter().map(String::as_str).collect::<Vec<_>>());
        let row_like = |line: &str| {
            let fields: Vec<_> = line.split(',').map(|field| field.trim().trim_matches('"')).collect();
            let says_kind = fields.iter().any(|field| is_kind(field));
            (named || says_kind || fields.len() <= FEW_FIELDS && fields.first().is_some_and(|field| recognise(field).is_some()))
                && fields.iter().any(|field| recognise(field).is_some())
        };
        return most(&row_like).then_some(IntelFormat::Csv);
    }
    most(&is_indicator_line).then_some(IntelFormat::List)
}

fn is_comment(line: &str) -> bool {
    line.is_empty() || ["#", ";", "//", "!"].iter().any(|start| line.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_told_from_logs_by_what_their_lines_hold() {
        let lists: &[(&str, IntelFormat)] = &[
            ("# comment\n198.51.100.7\t6\n203.0.113.9\t5\n", IntelFormat::List),
            ("||evil.example^\n||worse.example^\n", IntelFormat::List),
            ("address=/evil.example/0.0.0.0\n", IntelFormat::List),
            ("127.0.0.1 localhost\n0.0.0.0 evil.example\n0.0.0.0 worse.example\n", IntelFormat::List),
            (
                "$TTL 300\n@ IN SOA localhost. root.localhost. (1 2 3)\n  NS localhost.\nevil.example CNAME .\n*.evil.example CNAME .\nb.example CNAME .\nc.example CNAME .\nd.example CNAME .\n",
                IntelFormat::List,
            ),
            ("d41d8cd98f00b204e9800998ecf8427e;Dark thing - with a note of many words\n", IntelFormat::List),
            ("hxxp://evil[.]example/a\nevil[.]example\n", IntelFormat::List),
            (
                "2026-08-22 02:53:35,who,domain,evil.example,#tag,https://x.example/1\n2026-08-22 02:53:35,who,url,http://evil.example,#tag,https://x.example/1\n",
                IntelFormat::Csv,
            ),
            ("indicator,type,seen\nevil.example,domain,2026-01-01\n198.51.100.7,ip,2026-01-01\n", IntelFormat::Csv),
            ("198.51.100.7,scanner\n203.0.113.9,botnet\n", IntelFormat::Csv),
        ];
        for (head, format) in lists {
            assert_eq!(detect(head.as_bytes()), Some(*format), "{head}");
        }
        let logs = [
            "198.51.100.7 - - [10/Oct/2025:13:55:36 +0000] \"GET / HTTP/1.1\" 200 2326\n",
            "Oct 11 22:14:15 host su: failed for evil.example\n",
            "time=2026-01-01 level=info url=http://evil.example\n",
            "time,src,dst,url,bytes,agent\n2026-01-01,198.51.100.7,203.0.113.9,http://evil.example/,12,curl\n",
            "Bucket,Time,IP,Operation,Key,URI\nb,1,198.51.100.7,GET,k,/x\n",
            "#separator \\x09\n#fields\tts\tuid\tid.orig_h\n1600000000.1\tC1\t198.51.100.7\n",
            "type=SYSCALL msg=audit(1600000000.1:1): arch=c000003e\n",
            "<Events><Event/></Events>",
            "",
            "# only comments\n",
        ];
        for head in logs {
            assert_eq!(detect(head.as_bytes()), None, "{head}");
        }
    }
}
