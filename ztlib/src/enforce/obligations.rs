//! Applies the header changes that an allow requires: strip, then set.

use http::{HeaderMap, HeaderName};

use crate::authorize::{HeaderChange, same_spelling};

/// Removes each header in all its spellings, then sets the new values. What a caller sent under the
/// name never survives.
pub(crate) fn apply(changes: &[HeaderChange], headers: &mut HeaderMap) {
    for change in changes {
        strip(&change.name, headers);
        if let Some(value) = &change.value {
            headers.insert(change.name.clone(), value.clone());
        }
    }
}

/// A CGI-like application, or a proxy behind this one, sees `X_Tenant` and `X-Tenant` as the same
/// name.
fn strip(name: &HeaderName, headers: &mut HeaderMap) {
    headers.remove(name);
    let same = |other: &&HeaderName| same_spelling(other.as_str(), name.as_str());
    let spellings: Vec<HeaderName> = headers.keys().filter(same).cloned().collect();
    for spelling in spellings {
        headers.remove(spelling);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_caller_sent_is_stripped_in_all_spellings_before_the_header_is_set() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("x-tenant-id", "evil"), ("X_Tenant_Id", "evil"), ("x-tenant_id", "evil"), ("x-tenant", "kept")]
        {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        headers.append("x-tenant-id", "evil too".parse().unwrap());
        let name = HeaderName::from_static("x-tenant-id");
        apply(&[HeaderChange { name: name.clone(), value: Some("acme".parse().unwrap()) }], &mut headers);
        assert_eq!(headers.get_all(&name).iter().collect::<Vec<_>>(), ["acme"]);
        assert_eq!(headers.len(), 2, "{headers:?}");
        apply(&[HeaderChange { name: name.clone(), value: None }], &mut headers);
        assert!(!headers.contains_key(&name));
        assert!(headers.contains_key("x-tenant"));
    }
}
