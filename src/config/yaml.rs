//! YAML as a tree of JSON values, and the line of each of its keys.
use std::collections::BTreeMap;

use anyhow::{Result, anyhow, bail};
use saphyr::{LoadableYamlNode as _, MarkedYaml, Scalar, YamlData};
use serde_json::{Map, Number, Value};

/// A document.
pub(super) struct Document {
    /// Its content.
    pub value: Value,
    /// Where each path (`connectors[0].options.url`) stands.
    pub lines: BTreeMap<String, usize>,
}

/// Reads the one document of a text; an empty text is an empty map.
pub(super) fn parse(text: &str) -> Result<Document> {
    let documents = MarkedYaml::load_from_str(text).map_err(|error| anyhow!("line {}: {}", error.marker().line(), error.info()))?;
    let mut lines = BTreeMap::new();
    match &documents[..] {
        [] => Ok(Document { value: Value::Object(Map::new()), lines }),
        [root] => Ok(Document { value: convert(root, "", &mut lines)?, lines }),
        _ => bail!("a configuration is one YAML document, not several"),
    }
}

/// The path of a key below another.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn convert(node: &MarkedYaml<'_>, path: &str, lines: &mut BTreeMap<String, usize>) -> Result<Value> {
    let line = node.span.start.line();
    lines.entry(path.to_owned()).or_insert(line);
    Ok(match &node.data {
        YamlData::Value(Scalar::Null) => Value::Null,
        YamlData::Value(Scalar::Boolean(flag)) => Value::Bool(*flag),
        YamlData::Value(Scalar::Integer(number)) => Value::Number((*number).into()),
        YamlData::Value(Scalar::FloatingPoint(number)) => Number::from_f64(number.into_inner()).map_or(Value::Null, Value::Number),
        YamlData::Value(Scalar::String(text)) => Value::String(text.to_string()),
        YamlData::Sequence(items) => {
            let items = items.iter().enumerate().map(|(at, item)| convert(item, &format!("{path}[{at}]"), lines));
            Value::Array(items.collect::<Result<_>>()?)
        }
        YamlData::Mapping(entries) => {
            let mut map = Map::new();
            for (key, value) in entries {
                let YamlData::Value(name) = &key.data else { bail!("line {}: a key must be a plain word", key.span.start.line()) };
                let name = match name {
                    Scalar::String(name) => name.to_string(),
                    Scalar::Integer(number) => number.to_string(),
                    _ => bail!("line {}: a key must be a plain word", key.span.start.line()),
                };
                let below = join(path, &name);
                lines.insert(below.clone(), key.span.start.line());
                map.insert(name, convert(value, &below, lines)?);
            }
            Value::Object(map)
        }
        _ => bail!("line {line}: aliases and tags are not supported; write the value itself"),
    })
}
