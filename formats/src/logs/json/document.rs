//! JSON: nested objects to dotted names, straight from the parser's tape.
//!
//! `{"a":{"b":1}}` is `a.b`. A list of scalars stays a list; one that holds objects or lists is unfolded by place: `{"a":[{"b":1}]}` is `a.0.b`.
use std::fmt::Write as _;

use simd_json::value::tape::Tape;
use simd_json::{Buffers, Node, StaticNode};

use super::WRAPPERS;
use crate::event::fields::{FieldScalar, Fields, Refused};
use crate::limits::Limits;

/// Parses documents one after the other, into memory that it keeps.
pub struct JsonReader {
    buffers: Buffers,
    input: Vec<u8>,
    tape: Tape<'static>,
    path: String,
    depth: usize,
}

impl JsonReader {
    /// Within the bounds.
    pub fn new(limits: &Limits) -> Self {
        // What is too deep is for the walk to say: it knows how many of the levels only enclose events.
        let depth = limits.depth.saturating_add(3);
        Self {
            buffers: Buffers::with_max_depth(0, depth),
            input: Vec::new(),
            tape: Tape(Vec::new()),
            path: String::new(),
            depth: limits.depth,
        }
    }

    /// Reads a value: an object is an event; a list, or an object that only wraps one, is the events in it. `each` hears every event, its fields settled.
    ///
    /// # Errors
    /// `invalid-utf8`, `invalid-json`, `not-an-object`, `too-deep`: then nothing was heard.
    pub(super) fn value(
        &mut self,
        document: &[u8],
        fields: &mut Fields,
        each: &mut dyn FnMut(Result<&mut Fields, Refused>),
    ) -> Result<(), Refused> {
        self.input.clear();
        self.input.extend_from_slice(document);
        // What the parser may read beyond the end; without it, it would copy the document once more.
        self.input.resize(document.len() + simd_json::INPUT_PADDING, 0);
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let parsed = simd_json::fill_tape_padded(&mut self.input, document.len(), &mut self.buffers, &mut tape);
        let read = match parsed {
            Err(error) => Err(refusal(document, &error, self.depth)),
            Ok(()) => {
                let mut walk = Walk { nodes: &tape.0, at: 0, path: &mut self.path, fields, depth: self.depth };
                walk.root(each)
            }
        };
        self.tape = tape.reset();
        read
    }

    /// Adds the fields of one object to those that are there, and settles nothing: for a document within another format.
    ///
    /// # Errors
    /// As [`JsonReader::value`]; `invalid-json` and `not-an-object` before a field was added.
    pub(in crate::logs) fn merge(&mut self, document: &str, fields: &mut Fields) -> Result<(), Refused> {
        self.input.clear();
        self.input.extend_from_slice(document.as_bytes());
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let parsed = simd_json::fill_tape(&mut self.input, &mut self.buffers, &mut tape);
        let read = match (parsed, tape.0.first()) {
            (Err(error), _) => Err(refusal(document.as_bytes(), &error, self.depth)),
            (Ok(()), Some(&Node::Object { len, .. })) => {
                self.path.clear();
                Walk { nodes: &tape.0, at: 1, path: &mut self.path, fields, depth: self.depth }.object(len, 1)
            }
            (Ok(()), _) => Err(not_an_object()),
        };
        self.tape = tape.reset();
        read
    }
}

fn refusal(document: &[u8], error: &simd_json::Error, depth: usize) -> Refused {
    if std::str::from_utf8(document).is_err() {
        return Refused::new("invalid-utf8", "not UTF-8");
    }
    if matches!(error.error(), simd_json::ErrorType::DepthLimitExceeded) {
        return too_deep(depth);
    }
    Refused::new("invalid-json", error.to_string())
}

fn too_deep(depth: usize) -> Refused {
    Refused::new("too-deep", format!("nested deeper than limits.depth ({depth})"))
}

struct Walk<'w, 't, 'i> {
    nodes: &'t [Node<'i>],
    at: usize,
    path: &'w mut String,
    fields: &'w mut Fields,
    depth: usize,
}

impl<'i> Walk<'_, '_, 'i> {
    fn next(&mut self) -> Option<Node<'i>> {
        let node = self.nodes.get(self.at).copied();
        self.at += 1;
        node
    }

    fn root(&mut self, each: &mut dyn FnMut(Result<&mut Fields, Refused>)) -> Result<(), Refused> {
        let members = match self.nodes.first() {
            Some(Node::Array { len, .. }) => {
                self.at = 1;
                *len
            }
            Some(Node::Object { .. }) => match wrapped_list(self.nodes) {
                Some((at, len)) => {
                    self.at = at;
                    len
                }
                None => 1,
            },
            _ => return Err(not_an_object()),
        };
        for _ in 0..members {
            let (start, node) = (self.at, self.next());
            self.fields.clear();
            self.path.clear();
            let read = match node {
                Some(Node::Object { len, .. }) => self.object(len, 1),
                _ => Err(not_an_object()),
            };
            // Where a refusal left the walk within the object, the next begins behind it.
            self.at = start + node.map_or(1, |node| size(&node));
            self.fields.settle();
            each(read.map(|()| &mut *self.fields));
        }
        Ok(())
    }

    /// The members of an object at `depth`.
    fn object(&mut self, members: usize, depth: usize) -> Result<(), Refused> {
        for _ in 0..members {
            let Some(Node::String(name)) = self.next() else { break };
            let parent = self.path.len();
            if depth > 1 {
                self.path.push('.');
            }
            self.path.push_str(name);
            self.value(depth)?;
            self.path.truncate(parent);
        }
        Ok(())
    }

    /// The value of the name that the path holds.
    fn value(&mut self, depth: usize) -> Result<(), Refused> {
        if depth > self.depth {
            return Err(too_deep(self.depth));
        }
        match self.next() {
            Some(Node::Object { len: 0, .. }) => self.fields.empty_object(self.path),
            Some(Node::Object { len, .. }) => self.object(len, depth + 1),
            Some(Node::Array { len, .. }) => self.array(len, depth),
            Some(Node::String(text)) => self.fields.text(self.path, text),
            Some(Node::Static(scalar)) => self.fields.put(self.path, number(scalar)),
            None => Ok(()),
        }
    }

    fn array(&mut self, len: usize, depth: usize) -> Result<(), Refused> {
        let members = self.nodes.get(self.at..).unwrap_or_default();
        let scalars = members.iter().take(len).map_while(|node| match node {
            Node::String(text) => Some(FieldScalar::Text(text)),
            Node::Static(scalar) => Some(number(*scalar)),
            Node::Object { .. } | Node::Array { .. } => None,
        });
        if scalars.clone().count() == len {
            self.fields.list(self.path, scalars)?;
            self.at += len;
            return Ok(());
        }
        for place in 0..len {
            let parent = self.path.len();
            let _always = write!(self.path, ".{place}");
            self.value(depth + 1)?;
            self.path.truncate(parent);
        }
        Ok(())
    }
}

/// How many nodes of the tape a value takes.
fn size(node: &Node<'_>) -> usize {
    match node {
        Node::Object { count, .. } | Node::Array { count, .. } => count + 1,
        Node::String(_) | Node::Static(_) => 1,
    }
}

/// Where the members of a list begin that the object at the tape's beginning only wraps, and how many there are.
fn wrapped_list(nodes: &[Node<'_>]) -> Option<(usize, usize)> {
    let Some(Node::Object { len, .. }) = nodes.first() else { return None };
    let mut at = 1;
    for _ in 0..*len {
        match (nodes.get(at)?, nodes.get(at + 1)?) {
            (Node::String(name), Node::Array { len, .. }) if WRAPPERS.contains(name) => {
                return matches!(nodes.get(at + 2), Some(Node::Object { .. })).then_some((at + 2, *len)).filter(|(_, len)| *len > 0);
            }
            (_, Node::Array { .. } | Node::Object { .. }) => return None,
            _ => at += 2,
        }
    }
    None
}

fn not_an_object() -> Refused {
    Refused::new("not-an-object", "expected a JSON object")
}

fn number(scalar: StaticNode) -> FieldScalar<'static> {
    match scalar {
        StaticNode::I64(number) => FieldScalar::Int(number),
        StaticNode::U64(number) => FieldScalar::Uint(number),
        StaticNode::F64(number) => FieldScalar::Float(number),
        StaticNode::Bool(truth) => FieldScalar::Bool(truth),
        StaticNode::Null => FieldScalar::Null,
    }
}
