//! `${VAR}`, `${VAR:-default}` and `${file:PATH}` in values. They are put in after YAML is read, so that a secret may hold any character.
use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Puts them into every text of a tree; says of each failure at which path. Returns the paths whose text is no longer that of the file.
pub(super) fn resolve(node: &mut Value, path: &str, resolved: &mut Vec<String>, failures: &mut Vec<(String, String)>) {
    match node {
        Value::String(text) if text.contains("${") => match substitute(text) {
            Ok(value) => {
                *text = value;
                resolved.push(path.to_owned());
            }
            Err(error) => failures.push((path.to_owned(), format!("{error:#}"))),
        },
        Value::Array(items) => {
            items.iter_mut().enumerate().for_each(|(at, item)| resolve(item, &format!("{path}[{at}]"), resolved, failures));
        }
        Value::Object(map) => {
            map.iter_mut().for_each(|(key, value)| resolve(value, &super::yaml::join(path, key), resolved, failures));
        }
        _ => {}
    }
}

fn substitute(text: &str) -> Result<String> {
    let (mut result, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').context("`${` without `}`")?;
        result.push_str(before);
        result.push_str(&value_of(name)?);
        rest = after;
    }
    result.push_str(rest);
    Ok(result)
}

fn value_of(name: &str) -> Result<String> {
    if let Some(path) = name.strip_prefix("file:") {
        return Ok(std::fs::read_to_string(path).with_context(|| format!("failed to read {path}"))?.trim_end().to_owned());
    }
    let (name, default) = name.split_once(":-").map_or((name, None), |(name, default)| (name, Some(default)));
    match (std::env::var(name), default) {
        (Ok(value), _) => Ok(value),
        (Err(_), Some(default)) => Ok(default.to_owned()),
        (Err(_), None) => bail!("the environment has no {name}; set it, or give a default: ${{{name}:-…}}"),
    }
}
