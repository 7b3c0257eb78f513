//! Which names an authority may vouch for (RFC 5280 section 4.2.1.10).

use std::net::Ipv6Addr;

use x509_parser::asn1_rs::{Any, Class};
use x509_parser::oid_registry::OID_PKCS9_EMAIL_ADDRESS;
use x509_parser::prelude::FromDer as _;

use super::PeerError;
use super::certificate::{Certificate, GeneralName, general_name, sequence};
use super::chain_member::ChainMember;
use super::distinguished_name::DistinguishedName;
use ztlib_contract::printable;

/// Comparisons of a name with a constraint that one peer may cost. What an authority may sign is
/// bounded by the size of the chain, but the product of names and constraints is not.
pub(crate) const MAX_COMPARISONS: usize = 100_000;

/// The name constraints of one authority: of each kind of name, which are permitted and which are
/// not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NameConstraints {
    permitted: Vec<Base>,
    excluded: Vec<Base>,
}

/// One constraint.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Base {
    Dns(Suffix),
    /// One mailbox: the local part as it stands, the host in lower case.
    Mailbox {
        local: Box<[u8]>,
        host: Box<str>,
    },
    MailHost(Suffix),
    UriHost(Suffix),
    Directory(DistinguishedName),
    Ip {
        address: Box<[u8]>,
        mask: Box<[u8]>,
    },
    /// A kind of name whose constraints are not processed: a certificate that has such a name is
    /// refused.
    Unprocessed(u32),
}

/// A host, with or without what is below it. In lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Suffix {
    host: Box<str>,
    itself: bool,
    below: bool,
}

impl Suffix {
    fn holds(&self, host: &str) -> bool {
        if host == &*self.host {
            return self.itself;
        }
        self.below
            && (self.host.is_empty()
                || host.strip_suffix(&*self.host).is_some_and(|rest| rest.ends_with('.')))
    }
}

/// A name of a certificate, as constraints look at it.
enum Presented<'n> {
    Dns(String),
    Mail { local: &'n [u8], host: String },
    UriHost(String),
    Directory(DistinguishedName),
    Ip(&'n [u8]),
    Unprocessed(u32),
}

impl NameConstraints {
    /// Reads the extension's value. None where it breaks a rule: it constrains nothing, a
    /// constraint is not of the form that its kind has, or has a minimum or a maximum.
    pub(crate) fn read(value: &[u8]) -> Option<Self> {
        let mut content = sequence(value)?;
        let mut lists = [Vec::new(), Vec::new()];
        let mut last = None;
        while !content.is_empty() {
            let (rest, any) = Any::from_der(content).ok()?;
            let tag = any.tag().0;
            let fits = any.class() == Class::ContextSpecific && any.header.is_constructed();
            if !fits || last.is_some_and(|last| last >= tag) {
                return None;
            }
            *lists.get_mut(usize::try_from(tag).ok()?)? = subtrees(any.data, tag == 1)?;
            (content, last) = (rest, Some(tag));
        }
        last?;
        let [permitted, excluded] = lists;
        Some(Self { permitted, excluded })
    }

    /// Holds every name of a certificate against the constraints of `of`, an authority above it.
    pub(crate) fn check(
        &self,
        certificate: &Certificate<'_>,
        of: &ChainMember,
        comparisons: &mut usize,
    ) -> Result<(), PeerError> {
        let names = certificate.names()?;
        let subject = certificate.x509().subject();
        let mut all = Vec::with_capacity(names.len() + 1);
        for name in &names {
            let read = Presented::read(*name).ok_or_else(|| certificate.malformed("a name of it"))?;
            all.push((read, name.value));
        }
        if !certificate.subject().is_empty() {
            all.push((Presented::Directory(certificate.subject().clone()), b"its subject"));
        }
        if names.iter().all(|name| name.tag != GeneralName::MAIL) {
            for mail in subject.iter_by_oid(&OID_PKCS9_EMAIL_ADDRESS) {
                let value = mail.attr_value().data;
                all.push((Presented::mail(value)?, value));
            }
        }
        *comparisons += all.len() * (self.permitted.len() + self.excluded.len());
        if *comparisons > MAX_COMPARISONS {
            return Err(PeerError::ChainTooComplex);
        }
        match all.iter().find(|(name, _)| !self.allows(name)) {
            None => Ok(()),
            Some((_, text)) => Err(PeerError::NameConstraint {
                certificate: certificate.member(),
                name: printable(&String::from_utf8_lossy(text)),
                of: of.clone(),
            }),
        }
    }

    fn allows(&self, name: &Presented<'_>) -> bool {
        let mut of_its_kind = self.permitted.iter().filter_map(|base| name.is_within(base)).peekable();
        let permitted = of_its_kind.peek().is_none() || of_its_kind.any(|within| within);
        permitted && !self.excluded.iter().any(|base| name.touches(base))
    }
}

fn subtrees(mut content: &[u8], excluded: bool) -> Option<Vec<Base>> {
    let mut bases = Vec::new();
    while !content.is_empty() {
        let (rest, any) = Any::from_der(content).ok()?;
        let (after, name) = general_name(any.data)?;
        // A minimum of zero is not encoded, and a maximum is not used.
        if any.class() != Class::Universal || any.tag().0 != 16 || !after.is_empty() {
            return None;
        }
        bases.push(Base::read(name, excluded)?);
        content = rest;
    }
    (!bases.is_empty()).then_some(bases)
}

impl Base {
    fn read(name: GeneralName<'_>, excluded: bool) -> Option<Self> {
        Some(match name.tag {
            // A point before the name is not in the RFC, but in use, for "what is below". Where it
            // excludes, the name itself is excluded too: the narrower reading would let something
            // pass.
            GeneralName::DNS => {
                let text = host(name.value)?;
                let (name, itself) = match text.strip_prefix('.') {
                    Some(below) => (below, excluded),
                    None => (text.as_str(), true),
                };
                Self::Dns(Suffix { host: plain(name)?, itself, below: true })
            }
            GeneralName::MAIL => match split_mail(name.value) {
                Some((local, at)) if !local.is_empty() => {
                    Self::Mailbox { local: local.into(), host: plain(&host(at)?)? }
                }
                Some(_) => return None,
                None => Self::MailHost(host_or_below(name.value)?),
            },
            // A point at the end is part of a trust domain, so that `td.` is another one than `td`;
            // nobody needs it.
            GeneralName::URI if name.value.ends_with(b".") => return None,
            GeneralName::URI => Self::UriHost(host_or_below(name.value)?),
            GeneralName::DIRECTORY => Self::Directory(DistinguishedName::read(name.value)?),
            GeneralName::IP => {
                let (address, mask) = name.value.split_at_checked(name.value.len() / 2)?;
                let ones = mask.iter().map(|byte| byte.leading_ones()).take_while(|ones| *ones == 8).count();
                // After the first byte that is not all ones: ones before zeros in it, then nothing
                // but zeros.
                let contiguous = mask.iter().skip(ones).enumerate().all(|(at, byte)| match at {
                    0 => byte.leading_ones() + byte.trailing_zeros() == 8,
                    _ => *byte == 0,
                });
                if !matches!(name.value.len(), 8 | 32) || !contiguous {
                    return None;
                }
                Self::Ip { address: address.into(), mask: mask.into() }
            }
            other => Self::Unprocessed(other),
        })
    }
}

impl<'n> Presented<'n> {
    fn read(name: GeneralName<'n>) -> Option<Self> {
        Some(match name.tag {
            GeneralName::DNS => Self::Dns(lower(name.value)),
            GeneralName::MAIL => Self::mail(name.value).ok()?,
            GeneralName::URI => match uri_host(name.value) {
                Some(host) => Self::UriHost(host),
                // RFC 5280: where there is a constraint, a URI without a host is not within it.
                None => Self::Unprocessed(GeneralName::URI),
            },
            GeneralName::DIRECTORY => Self::Directory(DistinguishedName::read(name.value)?),
            GeneralName::IP if matches!(name.value.len(), 4 | 16) => Self::Ip(name.value),
            GeneralName::IP => return None,
            other => Self::Unprocessed(other),
        })
    }

    #[allow(clippy::unnecessary_wraps, reason = "as the readers of the other kinds")]
    fn mail(value: &'n [u8]) -> Result<Self, PeerError> {
        let (local, host) = split_mail(value).unwrap_or((value, b""));
        Ok(Self::Mail { local, host: lower(host) })
    }

    /// Whether it is within a constraint; none where the constraint is about another kind of name.
    fn is_within(&self, base: &Base) -> Option<bool> {
        Some(match (self, base) {
            (Self::Dns(name), Base::Dns(suffix)) => suffix.holds(name),
            (Self::Mail { local, host }, Base::Mailbox { local: its, host: at }) => {
                *local == &**its && **host == **at
            }
            (Self::Mail { host, .. }, Base::MailHost(suffix))
            | (Self::UriHost(host), Base::UriHost(suffix)) => suffix.holds(host),
            (Self::Directory(name), Base::Directory(base)) => name.is_within(base),
            (Self::Ip(address), Base::Ip { address: base, mask }) => {
                address.len() == base.len()
                    && address
                        .iter()
                        .zip(base)
                        .zip(mask)
                        .all(|((one, other), mask)| one & mask == other & mask)
            }
            (Self::Unprocessed(GeneralName::URI), Base::UriHost(_)) => false,
            (Self::Unprocessed(tag), Base::Unprocessed(other)) if tag == other => false,
            _ => return None,
        })
    }

    /// Whether an excluded constraint is about it: it is within, or it may be.
    fn touches(&self, base: &Base) -> bool {
        match (self, base) {
            // What a wildcard stands for may be what is excluded.
            (Self::Dns(name), Base::Dns(suffix)) if name.contains('*') => {
                let parent = name.split_once('.').map_or("", |(_, parent)| parent);
                suffix.holds(name) || suffix.holds(parent) || is_below(&suffix.host, parent)
            }
            (Self::Unprocessed(GeneralName::URI), Base::UriHost(_)) => true,
            (Self::Unprocessed(tag), Base::Unprocessed(other)) => tag == other,
            _ => self.is_within(base) == Some(true),
        }
    }
}

fn is_below(host: &str, parent: &str) -> bool {
    host.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
}

/// In lower case; a point at the end, which says the same, left out.
fn lower(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    text.strip_suffix('.').map_or_else(|| text.clone(), ToOwned::to_owned)
}

/// Visible ASCII in lower case.
fn host(text: &[u8]) -> Option<String> {
    text.iter().all(u8::is_ascii_graphic).then(|| lower(text))
}

/// A host name as a constraint has it: labels, no wildcard. Empty stands for every host.
fn plain(host: &str) -> Option<Box<str>> {
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    (host.is_empty() || host.split('.').all(label)).then(|| host.into())
}

/// The constraints of mail and URIs: a host itself, or after a point what is below it.
fn host_or_below(text: &[u8]) -> Option<Suffix> {
    let text = host(text)?;
    Some(match text.strip_prefix('.') {
        Some(below) => Suffix { host: plain(below)?, itself: false, below: true },
        None => Suffix { host: plain(&text)?, itself: true, below: text.is_empty() },
    })
}

/// The local part and the host of a mailbox: the last `@` is between them.
fn split_mail(mail: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = mail.iter().rposition(|byte| *byte == b'@')?;
    let (local, host) = mail.split_at_checked(at)?;
    Some((local, host.get(1..)?))
}

/// The host of a URI, where it has one that is a name. A SPIFFE ID's trust domain is one whatever
/// it looks like.
fn uri_host(uri: &[u8]) -> Option<String> {
    let uri = std::str::from_utf8(uri).ok()?;
    let (scheme, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => host,
    };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<Ipv6Addr>().is_ok()
        || super::host::is_address(host);
    let named = scheme.eq_ignore_ascii_case("spiffe") || !address;
    let host = if scheme.eq_ignore_ascii_case("spiffe") {
        host.to_ascii_lowercase()
    } else {
        lower(host.as_bytes())
    };
    (named && !host.is_empty()).then_some(host)
}
