//! Every fault of a configuration, not only the first: what is wrong is noted, taken out, and the rest is read again.
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A fault at a path of the tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    /// `connectors[0].batch.records`.
    pub path: String,
    /// What, and what to do.
    pub message: String,
}

/// Faults in one file that are told; more than that is another file.
const MOST: usize = 100;

/// Reads a tree: what can be read of it, and its faults. `texts`: paths whose values came as text (secrets, variables) and may stand for numbers.
pub(super) fn read<T: DeserializeOwned>(mut tree: Value, mut texts: Vec<String>) -> (Option<T>, Vec<Fault>) {
    let mut faults: Vec<Fault> = Vec::new();
    while faults.len() < MOST {
        let error = match serde_path_to_error::deserialize::<_, T>(tree.clone()) {
            Ok(read) => return (Some(read), faults),
            Err(error) => error,
        };
        let (path, mut message) = (error.path().to_string(), error.inner().to_string());
        let path = if path == "." { String::new() } else { path };
        // It may be a secret that stands in the wrong place.
        if let Some(text) = node_at(&mut tree, &path).and_then(|node| node.as_str()).filter(|text| !text.is_empty()) {
            message = message.replace(&format!("{text:?}"), "…").replace(text, "…");
        }
        if let Some(at) = texts.iter().position(|text| *text == path) {
            // A number where a number is wanted, a text where a text is.
            texts.swap_remove(at);
            if let Some(node) = node_at(&mut tree, &path)
                && let Some(scalar) = node.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok())
                && !scalar.is_object()
                && !scalar.is_array()
            {
                *node = scalar;
                continue;
            }
        }
        // The reader names an unknown key's own path, or its map's.
        let (path, message) = match unknown_key(&message) {
            Some((key, known)) => {
                let path = if last_word(&path) == key { path.clone() } else { super::yaml::join(&path, key) };
                let hint = closest(key, &known)
                    .map_or_else(|| format!("; valid are {}", known.join(", ")), |key| format!("; did you mean `{key}`?"));
                let message = format!("unknown key{hint}");
                (path, message)
            }
            None => (path, message),
        };
        let removed = remove(&mut tree, &path);
        // A key that is missing because it was taken out is no fault of its own.
        let follows = faults.iter().any(|fault| message == format!("missing field `{}`", last_word(&fault.path)));
        if !follows {
            faults.push(Fault { path, message });
        }
        if !removed {
            break;
        }
    }
    (None, faults)
}

fn last_word(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// The steps of a path: keys and places.
fn steps(path: &str) -> impl Iterator<Item = &str> {
    path.split(['.', '[']).map(|step| step.trim_end_matches(']')).filter(|step| !step.is_empty())
}

fn step_into<'a>(node: &'a mut Value, step: &str) -> Option<&'a mut Value> {
    match node {
        Value::Object(map) => map.get_mut(step),
        Value::Array(items) => items.get_mut(step.parse::<usize>().ok()?),
        _ => None,
    }
}

fn node_at<'a>(tree: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    steps(path).try_fold(tree, |node, step| step_into(node, step))
}

/// Takes the node at a path out of its map; of a list, empties it.
fn remove(tree: &mut Value, path: &str) -> bool {
    let steps: Vec<&str> = steps(path).collect();
    let Some((last, parents)) = steps.split_last() else { return false };
    let parent = parents.iter().try_fold(tree, |node, step| step_into(node, step));
    match parent {
        Some(Value::Object(map)) => map.remove(*last).is_some(),
        Some(Value::Array(items)) => last.parse::<usize>().ok().filter(|at| *at < items.len()).map(|at| items.remove(at)).is_some(),
        _ => false,
    }
}

/// The key and its valid siblings, out of serde's message: "unknown field `a`, expected one of `b`, `c`".
fn unknown_key(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.split_once("unknown field `")?.1;
    let (key, rest) = rest.split_once('`')?;
    Some((key, rest.split('`').skip(1).step_by(2).collect()))
}

/// The word that differs least, if by few letters.
pub(super) fn closest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let nearest = known.iter().map(|candidate| (strsim::levenshtein(key, candidate), *candidate)).min()?;
    (nearest.0 <= 1 + key.len() / 3).then_some(nearest.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_valid_key_is_named() {
        let (key, known) = unknown_key("unknown field `workerz`, expected one of `cell`, `workers`").unwrap_or_default();
        assert_eq!((key, closest(key, &known)), ("workerz", Some("workers")));
        assert_eq!(closest("zzz", &["cell"]), None);
    }
}
