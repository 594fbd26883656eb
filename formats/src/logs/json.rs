//! JSON: nested objects to dotted names, straight from the parser's tape.
//!
//! `{"a":{"b":1}}` is `a.b`. A list of scalars stays a list; one that holds objects or lists is unfolded by place: `{"a":[{"b":1}]}` is `a.0.b`.
use std::fmt::Write as _;

use simd_json::value::tape::Tape;
use simd_json::{Buffers, Node, StaticNode};

use crate::event::fields::{FieldScalar, Fields, Refused};
use crate::limits::Limits;

/// Parses documents one after the other, into memory that it keeps.
pub struct JsonReader {
    buffers: Buffers,
    input: Vec<u8>,
    path: String,
    depth: usize,
}

impl JsonReader {
    /// Within the bounds.
    pub fn new(limits: &Limits) -> Self {
        // One level more than is taken, so that the walk says where it is too deep.
        let depth = limits.depth.saturating_add(2);
        Self { buffers: Buffers::with_max_depth(0, depth), input: Vec::new(), path: String::new(), depth: limits.depth }
    }

    /// Reads one object into `fields`, which it empties first and settles last.
    ///
    /// # Errors
    /// `invalid-utf8`, `invalid-json`, `not-an-object`, `too-deep`, and those of [`Fields::put`].
    pub fn object(&mut self, document: &[u8], fields: &mut Fields) -> Result<(), Refused> {
        fields.clear();
        self.input.clear();
        self.input.extend_from_slice(document);
        let mut tape = Tape(Vec::new());
        if let Err(error) = simd_json::fill_tape(&mut self.input, &mut self.buffers, &mut tape) {
            return Err(refusal(document, &error, self.depth));
        }
        let Some((Node::Object { len, count }, rest)) = tape.0.split_first().map(|(first, rest)| (*first, rest)) else {
            return Err(Refused::new("not-an-object", "expected a JSON object"));
        };
        let _ = count;
        self.path.clear();
        let mut walk = Walk { nodes: rest, at: 0, path: &mut self.path, fields, depth: self.depth };
        walk.object(len, 1)?;
        fields.settle();
        Ok(())
    }
}

fn refusal(document: &[u8], error: &simd_json::Error, depth: usize) -> Refused {
    if std::str::from_utf8(document).is_err() {
        return Refused::new("invalid-utf8", "not UTF-8");
    }
    if matches!(error.error(), simd_json::ErrorType::MaxDepthExceeded) {
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

fn number(scalar: StaticNode) -> FieldScalar<'static> {
    match scalar {
        StaticNode::I64(number) => FieldScalar::Int(number),
        StaticNode::U64(number) => FieldScalar::Uint(number),
        StaticNode::F64(number) => FieldScalar::Float(number),
        StaticNode::Bool(truth) => FieldScalar::Bool(truth),
        StaticNode::Null => FieldScalar::Null,
    }
}
