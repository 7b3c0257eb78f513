//! The peer: what the description of a certificate makes of its holder (SPIFFE-ID section 2,
//! X509-SVID, RFC 5280).

use crate::model::policies::Peer;
use crate::scenario::{AuthorityPlan, Key, Lifetime, PeerPlan, People};

/// The identity, or the code of the error.
pub(super) fn identify(people: &People, plan: &PeerPlan) -> Result<Peer, String> {
    if plan.defect.as_deref() == Some("serial-number") {
        return Err("serial-number".to_owned());
    }
    let peer = named(plan)?;
    if let Some(defect) = plan.defect.as_deref().filter(|defect| *defect != "unknown-critical-extension") {
        return Err(defect.to_owned());
    }
    if plan.key == Key::Rsa1024 {
        return Err("key-size".to_owned());
    }
    in_time(plan.lifetime, "expired", "not-yet-valid")?;
    let authority = vouched(people, plan, &peer)?;
    if let Some(defect) = &plan.defect {
        return Err(defect.clone());
    }
    Ok(Peer { authority, ..peer })
}

/// Who the certificate says its holder is: one SPIFFE ID, or DNS names.
fn named(plan: &PeerPlan) -> Result<Peer, String> {
    let visible = |text: &String| text.bytes().all(|byte| byte.is_ascii_graphic());
    if !plan.uris.iter().all(visible) {
        return Err("name-character".to_owned());
    }
    if plan.uris.iter().any(|uri| uri.to_ascii_lowercase().starts_with("spiffe:")) {
        let [uri] = plan.uris.as_slice() else { return Err("two-uri-sans".to_owned()) };
        check_spiffe_id(uri)?;
        if uri.splitn(4, '/').nth(3).is_none() {
            return Err("spiffe-id-without-path".to_owned());
        }
        return Ok(Peer { spiffe_id: Some(uri.clone()), ..Peer::default() });
    }
    let label = |label: &str| {
        let plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(plain)
    };
    let number = |label: &str| match label.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    };
    if plan.dns.is_empty() {
        return Err("no-identity".to_owned());
    }
    let mut dns_names: Vec<String> = plan.dns.iter().map(|name| name.to_ascii_lowercase()).collect();
    dns_names.retain(|name| {
        let labels: Vec<&str> = name.split('.').collect();
        name.len() <= 253
            && labels.iter().all(|part| label(part))
            && !labels.last().is_some_and(|last| number(last))
    });
    if dns_names.is_empty() {
        return Err("dns-name".to_owned());
    }
    Ok(Peer { dns_names, ..Peer::default() })
}

/// The rules of SPIFFE-ID section 2, each with the code of its error.
///
/// # Errors
/// The code of the first rule that is broken.
pub fn check_spiffe_id(id: &str) -> Result<(), &'static str> {
    if id.len() > 2048 {
        return Err("spiffe-id-too-long");
    }
    let rest = id.strip_prefix("spiffe://").ok_or("spiffe-scheme")?;
    let mut parts = rest.split('/');
    let domain = parts.next().unwrap_or_default();
    if domain.is_empty() {
        return Err("trust-domain-missing");
    }
    if domain.len() > 255 {
        return Err("trust-domain-too-long");
    }
    let wrong =
        domain.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(*c)));
    if let Some(wrong) = wrong {
        return Err(if wrong.is_ascii_uppercase() {
            "trust-domain-upper-case"
        } else {
            "trust-domain-character"
        });
    }
    let segments: Vec<&str> = parts.collect();
    for (at, segment) in segments.iter().enumerate() {
        match *segment {
            "" if at + 1 == segments.len() => return Err("path-trailing-slash"),
            "" => return Err("path-empty-segment"),
            "." | ".." => return Err("path-dot-segment"),
            other if !other.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) => {
                return Err("path-character");
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether a root that may vouch for this peer stands at the end of the chain. Gives the name of
/// the authority for a peer without a SPIFFE ID.
fn vouched(people: &People, plan: &PeerPlan, peer: &Peer) -> Result<Option<String>, String> {
    let mut above = Vec::new();
    let mut next = Some(&plan.authority);
    while let Some(authority) = next.and_then(|name| people.authorities.get(name)) {
        above.push(authority);
        next = authority.below.as_ref();
    }
    // The first that a root is configured for on the way up is where the path ends.
    let domain = peer.spiffe_id.as_deref().and_then(|id| id.split('/').nth(2));
    let may_vouch = |authority: &AuthorityPlan| match domain {
        Some(domain) => authority.trust_domain.as_deref() == Some(domain),
        None => authority.named.is_some(),
    };
    if let Some(domain) = domain
        && !people.authorities.values().any(|a| a.trust_domain.as_deref() == Some(domain))
    {
        return Err("unknown-trust-domain".to_owned());
    }
    let Some(end) = above.iter().position(|authority| may_vouch(authority)) else {
        return Err("untrusted-issuer".to_owned());
    };
    for (at, authority) in above.iter().enumerate().take(end + 1) {
        in_time(authority.lifetime, "issuer-expired", "issuer-not-yet-valid")?;
        let of_another = at < end && (authority.trust_domain.is_some() || authority.named.is_some());
        let own = authority.spiffe_id.as_deref().and_then(|id| id.split('/').nth(2));
        if of_another || (at < end && domain.is_some() && own.is_some() && own != domain) {
            return Err("foreign-authority".to_owned());
        }
    }
    Ok(above.get(end).and_then(|authority| authority.named.clone()).filter(|_| domain.is_none()))
}

/// Both ends belong to the time in which a certificate is valid.
fn in_time(lifetime: Option<Lifetime>, over: &str, early: &str) -> Result<(), String> {
    match lifetime {
        Some(Lifetime { until, .. }) if until < 0 => Err(over.to_owned()),
        Some(Lifetime { from, .. }) if from > 0 => Err(early.to_owned()),
        _ => Ok(()),
    }
}

/// Whether a SPIFFE ID matches a pattern: the trust domain literally, `*` one segment, `**` at the
/// end the rest.
pub fn spiffe_id_matches(pattern: &str, id: &str) -> bool {
    let (pattern, id): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), id.split('/').collect());
    let holds =
        |(wanted, segment): (&&str, &&str)| wanted == segment || (*wanted == "*" && !segment.is_empty());
    match pattern.split_last() {
        Some((&"**", before)) => id.len() > before.len() && before.iter().zip(&id).all(holds),
        _ => pattern.len() == id.len() && pattern.iter().zip(&id).all(holds),
    }
}
