//! What a question can be: a case about a request that no router, a token that no verifier and a
//! peer that no authority lets through would show nothing.

use serde_json::{Map, Value as Json};

use super::file::Written;
use super::{Error, Table, Template, shown};

/// How far ahead of the service's clock an issuer's may be, in seconds: the default of
/// `Issuer::clock_skew`.
const CLOCK_SKEW: f64 = 5.0;

/// The parameters of a request, worked out of its path and its route. What the case says of them
/// has to agree.
pub(crate) fn params(
    table: &Table<'_>,
    path: &str,
    route: Option<&str>,
    said: &[(String, String)],
) -> Result<Vec<(String, String)>, Error> {
    let Some(route) = route else {
        if table.has("params") && !said.is_empty() {
            let text = "a request that no route matched has no parameters: write `route = \"…\"`";
            return Err(table.error("params", "contradiction", text));
        }
        if path.to_ascii_uppercase().contains("%2F") {
            let text = "no policy is asked about this request: the path has an escaped slash, and no route that allows one (path-encoded-slash)";
            return Err(table.error("path", "bad-request", text));
        }
        return Ok(Vec::new());
    };
    let template = Template::parse(route).map_err(|what| {
        table.error("route", "bad-route", format!("no router has the route `{}`: {what}", shown(route)))
    })?;
    let params = template.params(path).ok_or_else(|| {
        let is_old = route.split('/').any(|segment| segment.starts_with([':', '*']));
        let advice = if is_old { "; a parameter is written `{id}`, the end of a path `{*rest}`" } else { "" };
        let text = format!("the route `{}` does not match the path `{}`{advice}", shown(route), shown(path));
        table.error("route", "contradiction", text)
    })?;
    for (name, value) in said {
        let text = match params.iter().find(|(known, _)| known == name) {
            Some((_, known)) if known == value => continue,
            Some((_, known)) => {
                format!("path and route give the parameter `{}` the value `{}`", shown(name), shown(known))
            }
            None => format!("the route `{}` has no parameter `{}`", shown(route), shown(name)),
        };
        return Err(table.error("params", "contradiction", text));
    }
    Ok(params)
}

/// Whether this calls a method of gRPC, `/package.Service/Method`: whatever router stands in front,
/// its route is its path. A caller may send the content type of gRPC to any other path, too.
pub(crate) fn is_grpc(request: &Written) -> bool {
    let says_so = |(name, values): &(String, Vec<String>)| {
        name.eq_ignore_ascii_case("content-type")
            && values.iter().any(|value| value.to_ascii_lowercase().starts_with("application/grpc"))
    };
    let service = request.path.strip_prefix('/').and_then(|path| path.split_once('/'));
    let is_method = service.is_some_and(|(service, method)| {
        service.contains('.') && !method.is_empty() && !method.contains('/')
    });
    is_method && request.method == "POST" && request.headers.iter().any(says_so)
}

/// Whether this can stand where a request names its host: letters, digits and what parts labels, a
/// port and an address. Anything else would begin another part of the URI.
pub(crate) fn is_host(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
}

/// Whether the guard takes this header out before it asks anybody: ztlib's own, and those in which
/// a proxy says whose certificate it saw.
pub(crate) fn is_taken_out(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    name.starts_with("ztlib-")
        || matches!(name.as_str(), "x-forwarded-client-cert" | "client-cert" | "client-cert-chain")
}

/// Whether a server hands a request with this header on: a header has a value, and a length is one
/// number (RFC 9112 section 6.3).
pub(crate) fn is_sent(name: &str, values: &[String]) -> bool {
    let digits = |value: &String| !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    match values {
        [] => false,
        _ if name.eq_ignore_ascii_case("content-length") => values.len() == 1 && values.iter().all(digits),
        _ => true,
    }
}

/// Whether a SPIFFE ID has a path: without one it names a trust domain, and no certificate of a
/// workload has it.
pub(crate) fn is_workload(id: &str) -> bool {
    id.strip_prefix("spiffe://").is_some_and(|id| id.contains('/'))
}

/// The form that the guard's names of authorities have.
pub(crate) fn is_authority(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(letter)
}

/// Whether a certificate's DNS name can be an identity: a plain host name, and no address in any
/// notation. Case has no meaning.
pub(crate) fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // WHATWG URL, "ends in a number": what readers of addresses would take for one.
    let number = |label: &str| {
        let label = label.to_ascii_lowercase();
        let hex = label.strip_prefix("0x");
        hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            || label.bytes().all(|byte| byte.is_ascii_digit())
    };
    name.len() <= 253 && name.split('.').all(label) && !name.rsplit('.').next().is_some_and(number)
}

/// Whether a token could have been taken at the case's moment. Gives what is wrong otherwise.
pub(crate) fn times(claims: &Map<String, Json>, now: u64) -> Option<String> {
    let date = |name: &str| claims.get(name).and_then(Json::as_f64);
    let (expires, begins, issued) = (date("exp"), date("nbf"), date("iat"));
    #[allow(clippy::cast_precision_loss, reason = "a case's moment is before the year 10000: it is exact")]
    let now = now as f64;
    let wrong = if expires.is_some_and(|expires| expires.floor() <= now) {
        "it has expired (`exp`)"
    } else if begins.is_some_and(|begins| begins.ceil() > now + CLOCK_SKEW) {
        "it is not valid yet (`nbf`)"
    } else if issued.is_some_and(|issued| issued.ceil() > now + CLOCK_SKEW) {
        "it is issued later (`iat`)"
    } else if let (Some(expires), Some(from)) = (expires, issued.into_iter().chain(begins).reduce(f64::max))
        && expires <= from
    {
        "it ends before it begins (`exp`)"
    } else {
        return None;
    };
    Some(format!("no verified token has such claims at the case's moment: {wrong}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dns_name_is_a_host_and_no_address() {
        for name in [
            "a.example",
            "ERP.partner.example",
            "xn--bcher-kva.example",
            "a",
            "a_b.example",
            "1a.example",
            "8.8.8.8.example",
        ] {
            assert!(is_dns_name(name), "{name}");
        }
        let long = format!("{}.example", "l".repeat(64));
        for name in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "*.example",
            "-a.example",
            "a-.example",
            "a b",
            "8.8.8.8",
            "127.1",
            "0x7f.1",
            "1",
            "a.0x",
            "::1",
            "[::1]",
            "ä.example",
            "a/b",
            "a:80",
            &long,
        ] {
            assert!(!is_dns_name(name), "{name}");
        }
    }

    #[test]
    fn an_authority_is_named_as_the_guard_names_it() {
        assert!(is_authority("partners-2"));
        for name in ["", "Partners", "a b", "a/b", &"a".repeat(65)] {
            assert!(!is_authority(name), "{name}");
        }
    }

    #[test]
    fn a_token_is_valid_at_the_moment_of_its_case() {
        let wrong = |json: Json| times(json.as_object().unwrap(), 1_000).is_some();
        for (json, expected) in [
            (serde_json::json!({}), false),
            (serde_json::json!({"exp": 1_001, "nbf": 1_000, "iat": 1_000}), false),
            (serde_json::json!({"exp": 1_000}), true),
            (serde_json::json!({"exp": 1_000.9}), true),
            (serde_json::json!({"exp": 1_010, "nbf": 1_005}), false),
            (serde_json::json!({"exp": 1_010, "nbf": 1_006}), true),
            (serde_json::json!({"exp": 1_010, "iat": 1_005.5}), true),
            (serde_json::json!({"exp": 1_002, "iat": 1_003}), true),
            (serde_json::json!({"exp": 1_002, "nbf": 1_002}), true),
        ] {
            assert_eq!(wrong(json.clone()), expected, "{json}");
        }
    }
}
