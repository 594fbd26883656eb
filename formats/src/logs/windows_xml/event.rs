//! One event: its elements to fields.
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use quick_xml::Reader;
use quick_xml::escape::{resolve_predefined_entity, unescape};
use quick_xml::events::{BytesRef, BytesStart, Event};

use crate::event::fields::{FieldScalar, Fields, Refused};
use crate::limits::Limits;

/// Numbers of the part that Windows itself writes.
const NUMBERS: [&str; 10] = [
    "Event.System.EventID",
    "Event.System.EventID.Qualifiers",
    "Event.System.Version",
    "Event.System.Level",
    "Event.System.Task",
    "Event.System.Opcode",
    "Event.System.EventRecordID",
    "Event.System.Execution.ProcessID",
    "Event.System.Execution.ThreadID",
    "Event.System.Execution.ProcessorID",
];

/// Reads events into memory that it keeps.
#[derive(Default)]
pub(crate) struct EventReader {
    /// The names down to the element that the reader is in, with dots between.
    path: String,
    /// Where in the path each of them begins, and whether it is an element that shows though it is empty.
    open: Vec<(usize, bool)>,
    /// The text of the element so far.
    text: String,
    /// How often an element was seen at a path.
    seen: HashMap<u64, u32>,
}

impl EventReader {
    /// Reads one `<Event>`.
    pub(crate) fn event(&mut self, bytes: &[u8], fields: &mut Fields, limits: &Limits) -> Result<(), Refused> {
        let text = std::str::from_utf8(bytes).map_err(|error| Refused::new("invalid-utf8", error.to_string()))?;
        self.path.clear();
        self.open.clear();
        self.text.clear();
        self.seen.clear();
        let mut reader = Reader::from_str(text);
        loop {
            match reader.read_event().map_err(|error| invalid(&error))? {
                Event::Start(start) => self.start(&start, fields, limits)?,
                Event::Empty(start) => {
                    self.start(&start, fields, limits)?;
                    self.end(fields)?;
                }
                Event::End(_) => self.end(fields)?,
                Event::Text(part) => self.text.push_str(&part.xml10_content().map_err(|error| invalid(&error))?),
                Event::CData(part) => self.text.push_str(&part.decode().map_err(|error| invalid(&error))?),
                Event::GeneralRef(name) => self.reference(&name)?,
                Event::DocType(_) => return Err(Refused::new("doctype", "a document type is not read: its entities could be anything")),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
                Event::Eof if self.open.is_empty() => return Ok(()),
                Event::Eof => return Err(Refused::new("invalid-xml", "the event ends within an element")),
            }
        }
    }

    fn start(&mut self, start: &BytesStart<'_>, fields: &mut Fields, limits: &Limits) -> Result<(), Refused> {
        if self.open.len() >= limits.depth {
            return Err(Refused::new("too-deep", format!("nested deeper than limits.depth ({})", limits.depth)));
        }
        // Text before an element within the same parent.
        self.put_text(false, fields)?;
        let name = start.local_name();
        let name = std::str::from_utf8(name.as_ref()).map_err(|error| invalid(&error))?;
        let in_data = self.path == "Event.EventData";
        let named = if in_data && name == "Data" { attribute(start, "Name")? } else { None };
        let at = self.path.len();
        if at > 0 {
            self.path.push('.');
        }
        self.path.push_str(named.as_deref().filter(|named| !named.is_empty()).unwrap_or(name));
        let times = self.times_seen();
        if in_data && name == "Data" && named.is_none() {
            self.path.push_str(&format!(".{}", times - 1));
        } else if times > 1 {
            self.path.push_str(&format!("_{times}"));
        }
        self.open.push((at, in_data));
        for found in start.attributes() {
            let found = found.map_err(|error| invalid(&error))?;
            let key = std::str::from_utf8(found.key.local_name().into_inner()).map_err(|error| invalid(&error))?.to_owned();
            if found.key.as_namespace_binding().is_some() || named.is_some() && key == "Name" {
                continue;
            }
            let raw = std::str::from_utf8(&found.value).map_err(|error| invalid(&error))?;
            let value = unescape(raw).map_err(|error| invalid(&error))?;
            let length = self.path.len();
            self.path.push('.');
            self.path.push_str(&key);
            put(&self.path, &value, fields)?;
            self.path.truncate(length);
        }
        Ok(())
    }

    fn end(&mut self, fields: &mut Fields) -> Result<(), Refused> {
        let Some((at, shows)) = self.open.pop() else { return Err(Refused::new("invalid-xml", "an end without a beginning")) };
        self.put_text(shows, fields)?;
        self.path.truncate(at);
        Ok(())
    }

    /// Puts the text that was gathered; blanks between elements are none.
    fn put_text(&mut self, even_empty: bool, fields: &mut Fields) -> Result<(), Refused> {
        let text = self.text.trim();
        if even_empty || !text.is_empty() {
            put(&self.path, text, fields)?;
        }
        self.text.clear();
        Ok(())
    }

    fn times_seen(&mut self) -> u32 {
        let mut hasher = DefaultHasher::new();
        self.path.hash(&mut hasher);
        let times = self.seen.entry(hasher.finish()).or_default();
        *times += 1;
        *times
    }

    fn reference(&mut self, name: &BytesRef<'_>) -> Result<(), Refused> {
        if let Some(c) = name.resolve_char_ref().map_err(|error| invalid(&error))? {
            self.text.push(c);
            return Ok(());
        }
        let name = name.decode().map_err(|error| invalid(&error))?;
        let Some(text) = resolve_predefined_entity(&name) else {
            return Err(Refused::new("unknown-entity", format!("&{name}; is no entity of XML itself; others are not read")));
        };
        self.text.push_str(text);
        Ok(())
    }
}

fn put(path: &str, value: &str, fields: &mut Fields) -> Result<(), Refused> {
    match value.parse() {
        Ok(number) if NUMBERS.contains(&path) => fields.put(path, FieldScalar::Uint(number)),
        _ => fields.text(path, value),
    }
}

fn attribute(start: &BytesStart<'_>, wanted: &str) -> Result<Option<String>, Refused> {
    let Some(found) = start.try_get_attribute(wanted).map_err(|error| invalid(&error))? else { return Ok(None) };
    let raw = std::str::from_utf8(&found.value).map_err(|error| invalid(&error))?;
    Ok(Some(unescape(raw).map_err(|error| invalid(&error))?.into_owned()))
}

fn invalid(error: &dyn std::fmt::Display) -> Refused {
    Refused::new("invalid-xml", error.to_string())
}
