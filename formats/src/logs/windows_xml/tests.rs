use super::super::LogFormat;
use super::super::tests::{pieces, read};

const EVENTS: &str = r#"<?xml version="1.0"?>
<Events>
<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System><Provider Name='Microsoft-Windows-Sysmon' Guid='{1}'/><EventID Qualifiers='16384'>1</EventID>
<TimeCreated SystemTime='2024-05-01T00:00:01.5Z'/><Execution ProcessID='4' ThreadID='8'/><Correlation/></System>
<EventData><Data Name='Image'>C:\a &amp; b&#x2e;exe</Data><Data Name='Empty'></Data><Data>one</Data><Data>two</Data></EventData></Event><Event><UserData><A xmlns='x'><B>1</B><B>2</B><C><![CDATA[<c>]]></C></A></UserData></Event>
junk
<Event><a></Event><Event/>
<!-- a comment
-->
<Event><a>&evil;</a></Event>
</Events>
<Event><cut>"#;

#[test]
fn elements_and_attributes_become_dotted_names() {
    let expected = [
        r#"3 {"Event.EventData.Data.0":"one","Event.EventData.Data.1":"two","Event.EventData.Empty":"","Event.EventData.Image":"C:\\a & b.exe","Event.System.EventID":1,"Event.System.EventID.Qualifiers":16384,"Event.System.Execution.ProcessID":4,"Event.System.Execution.ThreadID":8,"Event.System.Provider.Guid":"{1}","Event.System.Provider.Name":"Microsoft-Windows-Sysmon","Event.System.TimeCreated.SystemTime":"2024-05-01T00:00:01.5Z"}"#,
        r#"5 {"Event.UserData.A.B":"1","Event.UserData.A.B_2":"2","Event.UserData.A.C":"<c>"}"#,
        "6 not-an-event",
        "7 invalid-xml",
        "7 {}",
        "10 unknown-entity",
        "12 truncated",
    ];
    assert_eq!(read(LogFormat::WindowsXml, EVENTS), expected);
    assert_eq!(pieces(LogFormat::WindowsXml, EVENTS, 1), expected);
    assert_eq!(pieces(LogFormat::WindowsXml, EVENTS, 600), expected);
}

#[test]
fn nesting_is_bounded_and_document_types_are_not_read() {
    let deep = format!("<Event>{}x{}</Event>", "<a>".repeat(100), "</a>".repeat(100));
    assert_eq!(read(LogFormat::WindowsXml, &deep), ["1 too-deep"]);
    assert_eq!(
        read(LogFormat::WindowsXml, "<!DOCTYPE x [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><Event>&a;</Event>"),
        ["1 not-an-event", "1 unknown-entity"]
    );
}
