//! Facts about the peer.

use std::fmt;

use super::SpiffeId;

/// Who the other end of the connection is said to be: a SPIFFE ID, or the DNS names of a peer that
/// a named authority vouches for.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerFacts(Names);

#[derive(Clone, PartialEq, Eq)]
enum Names {
    Spiffe(SpiffeId),
    Dns { authority: Box<str>, names: Box<[Box<str>]> },
}

impl PeerFacts {
    /// A peer with a SPIFFE ID.
    pub fn spiffe(id: SpiffeId) -> Self {
        Self(Names::Spiffe(id))
    }

    /// A peer without one: who vouches for it, and its DNS names.
    pub fn named<N: AsRef<str>>(authority: &str, dns_names: impl IntoIterator<Item = N>) -> Self {
        let names = dns_names.into_iter().map(|name| name.as_ref().to_ascii_lowercase().into());
        let mut names: Vec<Box<str>> = names.collect();
        names.sort_unstable();
        names.dedup();
        Self(Names::Dns { authority: authority.into(), names: names.into() })
    }

    /// The SPIFFE ID; `None` for a peer that a named authority vouches for.
    pub fn spiffe_id(&self) -> Option<&SpiffeId> {
        match &self.0 {
            Names::Spiffe(id) => Some(id),
            Names::Dns { .. } => None,
        }
    }

    /// The name of the authority that vouches for a peer without a SPIFFE ID.
    pub fn authority(&self) -> Option<&str> {
        match &self.0 {
            Names::Spiffe(_) => None,
            Names::Dns { authority, .. } => Some(authority),
        }
    }

    /// The DNS names of a peer without a SPIFFE ID: sorted, lower case, without repetitions. Empty
    /// for a SPIFFE peer, whatever DNS names its certificate may have.
    pub fn dns_names(&self) -> &[Box<str>] {
        match &self.0 {
            Names::Spiffe(_) => &[],
            Names::Dns { names, .. } => names,
        }
    }
}

/// The SPIFFE ID; or `authority/name,name` of a peer without one.
impl fmt::Display for PeerFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Names::Spiffe(id) => f.write_str(id.as_str()),
            Names::Dns { authority, names } => {
                write!(f, "{authority}/")?;
                for (at, name) in names.iter().enumerate() {
                    write!(f, "{}{name}", if at == 0 { "" } else { "," })?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Debug for PeerFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerFacts({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_in_lower_case_and_each_once() {
        let named = PeerFacts::named("partners", ["B.test", "a.test", "b.test"]);
        assert_eq!(named.to_string(), "partners/a.test,b.test");
        assert_eq!((named.authority(), named.spiffe_id()), (Some("partners"), None));
        let spiffe = PeerFacts::spiffe("spiffe://shop.test/orders".parse().unwrap());
        assert_eq!((spiffe.authority(), spiffe.dns_names().len()), (None, 0));
    }
}
