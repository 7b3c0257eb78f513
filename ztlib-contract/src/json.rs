//! JSON text that is the same for equal values.

use std::collections::BTreeSet;

use serde_json::Value;

/// Text with members in the order of their names and no white space, whatever features `serde_json`
/// was built with.
pub fn canonical_text(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Array(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                write_canonical(item, text);
            }
            text.push(']');
        }
        Value::Object(members) => {
            text.push('{');
            let names: BTreeSet<&String> = members.keys().collect();
            for (at, name) in names.into_iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                if let Some(member) = members.get(name) {
                    write_canonical(member, text);
                }
            }
            text.push('}');
        }
        leaf => text.push_str(&leaf.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_sorted() {
        let object = serde_json::from_str(r#" {"b":[1, {"z":null,"y":"\n"}], "a":-1.5} "#).unwrap();
        assert_eq!(canonical_text(&object), r#"{"a":-1.5,"b":[1,{"y":"\n","z":null}]}"#);
    }
}
