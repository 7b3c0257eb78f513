//! The roots of one generation, and the path from a leaf to one of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

use super::anchor::{Anchor, AnchorFault};
use super::certificate::Validity;
use super::leaf::{Claim, Leaf};
use super::path::{self, Effort, Path, Presented};
use super::revocation::{ListsUntil, Revocation, RevocationPolicy};
use super::rules::{self, Span};
use super::{PeerError, TrustDomain, TrustError};

/// Trust domains and authorities, each with its own roots.
pub(crate) struct Roots {
    domains: BTreeMap<TrustDomain, Arc<RootSet>>,
    authorities: BTreeMap<Box<str>, Arc<RootSet>>,
    /// Every key that is a root of somebody: a cross-signed copy of it must not serve somebody
    /// else.
    owners: HashMap<Box<[u8]>, Vec<Owner>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Owner {
    Domain(TrustDomain),
    Authority(Box<str>),
}

impl Owner {
    fn name(&self) -> &str {
        match self {
            Self::Domain(domain) => domain.as_str(),
            Self::Authority(name) => name,
        }
    }

    fn is_domain(&self) -> bool {
        matches!(self, Self::Domain(_))
    }
}

#[derive(Default)]
struct RootSet {
    anchors: Vec<Anchor>,
    revocation: Revocation,
}

/// What the author gave for one trust domain or authority.
#[derive(Default)]
pub(super) struct Given {
    pub(super) roots: Vec<CertificateDer<'static>>,
    pub(super) lists: Vec<CertificateRevocationListDer<'static>>,
}

/// What stands above a leaf.
#[derive(Clone)]
pub(crate) struct Vouched {
    /// The authority's name, for a peer without a SPIFFE ID.
    pub(crate) authority: Option<Box<str>>,
    /// When the leaf and everything above it is valid.
    pub(crate) span: Span,
    /// Until when the revocation lists about the leaf and what is above it speak.
    pub(crate) lists_until: Option<ListsUntil>,
}

impl Roots {
    pub(super) fn read(
        domains: BTreeMap<TrustDomain, Given>,
        authorities: BTreeMap<Box<str>, Given>,
        policy: RevocationPolicy,
    ) -> Result<Self, TrustError> {
        if domains.is_empty() && authorities.is_empty() {
            return Err(TrustError::Nobody);
        }
        let mut roots =
            Self { domains: BTreeMap::new(), authorities: BTreeMap::new(), owners: HashMap::new() };
        for (domain, given) in domains {
            let set = roots.read_set(&Owner::Domain(domain.clone()), &given, policy)?;
            roots.domains.insert(domain, Arc::new(set));
        }
        for (name, given) in authorities {
            let set = roots.read_set(&Owner::Authority(name.clone()), &given, policy)?;
            roots.authorities.insert(name, Arc::new(set));
        }
        Ok(roots)
    }

    fn read_set(
        &mut self,
        owner: &Owner,
        given: &Given,
        policy: RevocationPolicy,
    ) -> Result<RootSet, TrustError> {
        if given.roots.is_empty() {
            return Err(TrustError::NoRoots { name: owner.name().to_owned() });
        }
        let revocation = Revocation::read(owner.name(), &given.roots, &given.lists, policy)?;
        let mut set = RootSet { revocation, ..RootSet::default() };
        let domain = match owner {
            Owner::Domain(domain) => Some(domain),
            Owner::Authority(_) => None,
        };
        for (index, der) in given.roots.iter().enumerate() {
            let name = || owner.name().to_owned();
            let anchor = Anchor::read(der, domain).map_err(|fault| match fault {
                AnchorFault::Malformed(what) => TrustError::MalformedRoot { name: name(), index, what },
                AnchorFault::NotAuthority => TrustError::RootIsNotCa { name: name(), index },
                AnchorFault::OtherDomain(other) => {
                    TrustError::RootOfAnotherDomain { name: name(), index, other }
                }
                AnchorFault::Rule(rule) => TrustError::RootRule { name: name(), index, rule: Box::new(rule) },
            })?;
            self.claim_key(owner, &anchor.key)?;
            set.add(anchor);
        }
        Ok(set)
    }

    fn claim_key(&mut self, owner: &Owner, key: &[u8]) -> Result<(), TrustError> {
        let owners = self.owners.entry(key.into()).or_default();
        if let Some(other) =
            owners.iter().find(|other| *other != owner && other.is_domain() == owner.is_domain())
        {
            return Err(TrustError::SharedRoot {
                one: other.name().to_owned(),
                other: owner.name().to_owned(),
            });
        }
        if !owners.contains(owner) {
            owners.push(owner.clone());
        }
        Ok(())
    }

    /// These, with the trust domains and authorities of `part` in place of their own or added.
    /// All others stay as they are, with their revocation lists.
    pub(super) fn with(&self, part: &Self) -> Result<Self, TrustError> {
        let (mut domains, mut authorities) = (self.domains.clone(), self.authorities.clone());
        domains.extend(part.domains.iter().map(|(domain, set)| (domain.clone(), Arc::clone(set))));
        authorities.extend(part.authorities.iter().map(|(name, set)| (name.clone(), Arc::clone(set))));
        Self::of(domains, authorities)
    }

    /// These without a trust domain.
    pub(super) fn without(&self, domain: &TrustDomain) -> Result<Self, TrustError> {
        let mut domains = self.domains.clone();
        domains.remove(domain);
        Self::of(domains, self.authorities.clone())
    }

    fn of(
        domains: BTreeMap<TrustDomain, Arc<RootSet>>,
        authorities: BTreeMap<Box<str>, Arc<RootSet>>,
    ) -> Result<Self, TrustError> {
        if domains.is_empty() && authorities.is_empty() {
            return Err(TrustError::Nobody);
        }
        let owners_of = domains.iter().map(|(domain, set)| (Owner::Domain(domain.clone()), set));
        let names = authorities.iter().map(|(name, set)| (Owner::Authority(name.clone()), set));
        let sets: Vec<_> = owners_of.chain(names).map(|(owner, set)| (owner, Arc::clone(set))).collect();
        let mut roots = Self { domains, authorities, owners: HashMap::new() };
        for (owner, set) in sets {
            for anchor in &set.anchors {
                roots.claim_key(&owner, &anchor.key)?;
            }
        }
        Ok(roots)
    }

    pub(crate) fn domains(&self) -> impl Iterator<Item = &TrustDomain> {
        self.domains.keys()
    }

    pub(crate) fn authorities(&self) -> impl Iterator<Item = &str> {
        self.authorities.keys().map(AsRef::as_ref)
    }

    /// Finds the path from the leaf to a root that may vouch for what it claims, valid at `now`
    /// (whole seconds). `chain` begins with the leaf.
    pub(crate) fn vouch(
        &self,
        leaf: &Leaf,
        chain: &[CertificateDer<'static>],
        now: u64,
    ) -> Result<Vouched, PeerError> {
        let presented = Presented::read(chain)?;
        let mut effort = Effort::default();
        match &leaf.claim {
            Claim::Spiffe(id) => {
                let domain = id.trust_domain();
                let set = self
                    .domains
                    .get(domain)
                    .ok_or_else(|| PeerError::UnknownTrustDomain { trust_domain: domain.to_string() })?;
                self.follow(set, &Owner::Domain(domain.clone()), &presented, now, &mut effort)
            }
            Claim::Dns(_) => {
                let mut refused = PeerError::NoAuthorities;
                for (name, set) in &self.authorities {
                    let owner = Owner::Authority(name.clone());
                    match self.follow(set, &owner, &presented, now, &mut effort) {
                        Ok(vouched) => return Ok(vouched),
                        // The most telling reason is that of the authority to which the chain
                        // leads.
                        Err(error) if error.tells() > refused.tells() => refused = error,
                        Err(_) => {}
                    }
                }
                Err(refused)
            }
        }
    }

    fn follow(
        &self,
        set: &RootSet,
        owner: &Owner,
        presented: &Presented<'_>,
        now: u64,
        effort: &mut Effort,
    ) -> Result<Vouched, PeerError> {
        let (domain, authority) = match owner {
            Owner::Domain(domain) => (Some(domain), None),
            Owner::Authority(name) => (None, Some(name.clone())),
        };
        let may_serve = |key: &[u8]| self.owners.get(key).is_none_or(|owners| owners.contains(owner));
        let mut revoked = None;
        let judge = |path: &Path<'_, '_>, effort: &mut Effort| {
            let span = rules::check(path, domain, may_serve, now, effort)?;
            let lists_until = set.revocation.check(path, now).map_err(|refusal| {
                if refusal.of_leaf {
                    revoked = Some(refusal.error.clone());
                }
                refusal.error
            })?;
            Ok((span, lists_until))
        };
        let found = path::find(presented, &set.anchors, effort, judge);
        // A leaf that was revoked on one path is not made good by another that no list speaks
        // about.
        if let Some(error) = revoked {
            return Err(error);
        }
        let (span, lists_until) = found?;
        Ok(Vouched { authority, span, lists_until })
    }
}

impl RootSet {
    /// A root that was renewed is one anchor, valid as long as either.
    fn add(&mut self, anchor: Anchor) {
        match self.anchors.iter_mut().find(|known| known.is_renewal_of(&anchor)) {
            Some(known) => {
                let Validity { not_before, not_after } = anchor.validity;
                known.validity.not_before = known.validity.not_before.min(not_before);
                known.validity.not_after = known.validity.not_after.max(not_after);
            }
            None => self.anchors.push(anchor),
        }
    }
}
