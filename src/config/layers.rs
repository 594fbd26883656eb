//! What lies over the file: the overlay of an environment, then variables of the process.
use anyhow::{Result, bail};
use serde_json::{Map, Value};

/// Variables that begin alike and are no keys: of the tests and scripts, and of the log's filter.
const NOT_KEYS: [&str; 3] = ["SIGHTLINE_LOG", "SIGHTLINE_ENVIRONMENT", "SIGHTLINE_CACHE"];
/// Keys of one word that a variable may set without `__`.
const SINGLE: [&str; 5] = ["cell", "workers", "state_dir", "partitions", "replication"];

/// Takes `environments` out of `base` and lays the named one over it.
pub(super) fn select(base: &mut Value, environment: Option<&str>) -> Result<()> {
    let overlays = environments(base)?;
    let Some(name) = environment else { return Ok(()) };
    match overlays.get(name) {
        Some(overlay) => merge(base, overlay.clone()),
        None if overlays.is_empty() => bail!("there is no environment {name}: the file has no `environments`"),
        None => bail!("there is no environment {name}; there are: {}", overlays.keys().cloned().collect::<Vec<_>>().join(", ")),
    }
    Ok(())
}

/// Takes the overlays out.
pub(super) fn environments(base: &mut Value) -> Result<Map<String, Value>> {
    match base.as_object_mut().and_then(|map| map.remove("environments")) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(overlays)) => Ok(overlays),
        Some(_) => bail!("environments: expected a map of names to what differs there"),
    }
}

/// Maps merge key by key; lists of named things (`connectors`, `feeds`) by name; anything else is replaced.
pub(super) fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                match base.get_mut(&key) {
                    Some(known) => merge(known, value),
                    None => {
                        base.insert(key, value);
                    }
                }
            }
        }
        (Value::Array(base), Value::Array(over)) if over.iter().all(|item| item.get("name").is_some()) => {
            for item in over {
                match base.iter_mut().find(|known| known.get("name") == item.get("name")) {
                    Some(known) => merge(known, item),
                    None => base.push(item),
                }
            }
        }
        (base, over) => *base = over,
    }
}

/// Lays variables over the configuration: `SIGHTLINE_WORKERS`, and `__` between the words of a path, where a member of a list goes by its name:
/// `SIGHTLINE_CONNECTORS__PG__OPTIONS__URL`. Returns the paths that were set, with their variables.
pub(super) fn variables(base: &mut Value, variables: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    let mut set = Vec::new();
    for (variable, value) in variables {
        let Some(rest) = variable.strip_prefix("SIGHTLINE_").filter(|_| !NOT_KEYS.contains(&variable.as_str())) else { continue };
        let words: Vec<&str> = rest.split("__").collect();
        if words.len() > 1 || SINGLE.iter().any(|key| key.eq_ignore_ascii_case(rest)) {
            let path = put(base, "", &words, value);
            set.push((path, variable));
        }
    }
    set
}

fn put(node: &mut Value, path: &str, words: &[&str], text: String) -> String {
    let Some((word, rest)) = words.split_first() else {
        *node = Value::String(text);
        return path.to_owned();
    };
    if let Value::Array(items) = node {
        let named = |item: &Value| item.get("name").and_then(Value::as_str).is_some_and(|name| spelt(name) == spelt(word));
        let at = items.iter().position(named).unwrap_or_else(|| {
            items.push(Value::Object([("name".to_owned(), Value::String(word.to_lowercase()))].into_iter().collect()));
            items.len() - 1
        });
        return put(&mut items[at], &format!("{path}[{at}]"), rest, text);
    }
    if !node.is_object() {
        *node = Value::Object(Map::new());
    }
    let Value::Object(map) = node else { return path.to_owned() };
    let known = map.keys().find(|key| spelt(key) == spelt(word)).cloned();
    // Properties of librdkafka have dots, which a variable's name cannot have.
    let new = || if path == "kafka.properties" { word.to_lowercase().replace('_', ".") } else { word.to_lowercase() };
    let key = known.unwrap_or_else(new);
    let below = super::yaml::join(path, &key);
    put(map.entry(key).or_insert(Value::Null), &below, rest, text)
}

/// A key as a variable spells it.
fn spelt(key: &str) -> String {
    key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}
