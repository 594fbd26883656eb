//! One spelling of a value, so that what a store gives back can be compared with what it was given.
use serde_json::Value;
use sightline_schemas::{ContentHash, Micros};

/// Integers up to here are exact as IEEE doubles, and so the same number however a store spells it.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Writes `value` with sorted keys and one spelling a number (`1e2`, `100.0` and `100` are the same to a store that keeps numbers).
pub fn write(value: &Value, into: &mut Vec<u8>) {
    match value {
        Value::Null => into.extend_from_slice(b"null"),
        Value::Bool(true) => into.extend_from_slice(b"true"),
        Value::Bool(false) => into.extend_from_slice(b"false"),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() <= EXACT => {
                into.extend_from_slice((float as i64).to_string().as_bytes());
            }
            _ => into.extend_from_slice(number.to_string().as_bytes()),
        },
        Value::String(text) => string(text, into),
        Value::Array(items) => {
            into.push(b'[');
            for item in items {
                write(item, into);
                into.push(b',');
            }
            into.push(b']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            into.push(b'{');
            for (name, item) in fields {
                string(name, into);
                write(item, into);
                into.push(b',');
            }
            into.push(b'}');
        }
    }
}

/// Length first, so that no content can pass for structure.
fn string(text: &str, into: &mut Vec<u8>) {
    into.extend_from_slice(format!("{}:", text.len()).as_bytes());
    into.extend_from_slice(text.as_bytes());
}

/// An instant as text that sorts as time does: always six digits of the second.
pub fn instant(micros: Micros) -> String {
    jiff::Timestamp::from_microsecond(micros.0).map_or_else(|_| micros.to_string(), |timestamp| format!("{timestamp:.6}"))
}

/// The digest of [`write`]'s bytes.
pub fn digest(value: &Value) -> ContentHash {
    let mut bytes = Vec::new();
    write(value, &mut bytes);
    ContentHash::of(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn spelling_and_order_do_not_count_but_content_does() {
        let same = [r#"{"a":1e2,"b":[true,null]}"#, r#"{"b":[true,null],"a":100.0}"#, r#"{"a":100,"b":[true,null]}"#];
        let digests: Vec<_> = same.iter().map(|text| digest(&serde_json::from_str(text).unwrap_or_default())).collect();
        assert!(digests.iter().all(|d| *d == digests[0]));
        assert_ne!(digest(&json!({"a": 100, "b": [true]})), digests[0]);
        assert_ne!(digest(&json!("1")), digest(&json!(1)));
        assert_ne!(digest(&json!(["a", "b"])), digest(&json!(["a,1:b"])));
    }

    #[test]
    fn instants_sort_as_text_and_read_back() {
        let texts: Vec<String> = [0, 1, 500_000, 1_000_000].map(|m| instant(Micros(m))).to_vec();
        assert!(texts.is_sorted());
        assert_eq!(texts[1], "1970-01-01T00:00:00.000001Z");
        assert_eq!(Micros::parse(&texts[2]), Ok(Micros(500_000)));
    }
}
