//! One certificate held against the lists of its issuer (RFC 5280 section 6.3.3).

use std::sync::Arc;

use super::list::List;
use super::scope::{Asked, Reasons};
use super::signer::Signer;
use super::{Revocation, RevocationPolicy};

/// So many signatures may turn out not to be the issuer's in one look at a path: an authority could
/// else put many keys under the name of one with many lists, to make work.
pub(super) const MAX_FOREIGN_SIGNATURES: usize = 128;

/// Until when the lists about a chain speak: the one that is stale first, and about which
/// certificate it speaks.
#[derive(Debug, Clone)]
pub(crate) struct ListsUntil {
    /// The last second, since 1970.
    pub(crate) second: u64,
    pub(crate) list: Arc<str>,
    pub(crate) certificate: Arc<str>,
}

/// Why a certificate does not pass, the gravest first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refused {
    Revoked {
        list: String,
    },
    TooMuchWork,
    Stale {
        list: String,
    },
    Unusable {
        list: String,
        why: &'static str,
    },
    NotYet {
        list: String,
    },
    /// `partly` where lists speak, and not for every reason.
    Unknown {
        partly: bool,
    },
}

/// The lists that the issuer of one certificate signed and that have it in their scope, and what
/// was found on the way.
#[derive(Default)]
struct Heard<'l> {
    speaking: Vec<(&'l List, Reasons)>,
    /// A list that says it is of this very key, and is not.
    forged: Option<&'l List>,
    /// A list of the issuer's name that is of no use, and whether it may well be another
    /// authority's of that name.
    unusable: Option<(&'l List, &'static str, bool)>,
}

const FORGED: &str = "its signature is not that of the issuer whose key it names";
const FOREIGN: &str = "it has the issuer's name and is not signed by the issuer's key";
const NOT_A_SIGNER: &str = "its issuer has a key usage without `cRLSign`";

impl Revocation {
    /// What the lists say about one certificate. `Ok` is the list that is stale first, where that
    /// bounds anything.
    pub(super) fn ask(
        &self,
        asked: &Asked,
        signer: &Signer,
        now: i64,
        foreign: &mut usize,
    ) -> Result<Option<&List>, Refused> {
        let heard = self.hear(asked, signer, foreign)?;
        heard.judge(asked, self.policy, now)
    }

    fn hear(&self, asked: &Asked, signer: &Signer, foreign: &mut usize) -> Result<Heard<'_>, Refused> {
        let mut heard = Heard::default();
        for list in self.of_issuer(&asked.issuer) {
            let Some(reasons) = list.scope.covers(asked) else { continue };
            let known = list.known_signer(&signer.key);
            if known.is_none() && *foreign >= MAX_FOREIGN_SIGNATURES {
                return Err(Refused::TooMuchWork);
            }
            if !known.unwrap_or_else(|| list.verify(signer)) {
                *foreign += usize::from(known.is_none());
                heard.turn_down(list, signer);
            } else if signer.may_sign_lists {
                heard.speaking.push((list, reasons));
            } else {
                heard.unusable = Some((list, NOT_A_SIGNER, false));
            }
        }
        Ok(heard)
    }
}

impl<'l> Heard<'l> {
    /// The list is not signed by the issuer. Another authority may have the same name and lists of
    /// its own (a new key, for one); what counts is whether the list says so.
    fn turn_down(&mut self, list: &'l List, signer: &Signer) {
        let identifiers = list.key_identifier.as_ref().zip(signer.key_identifier.as_ref());
        let anothers = list.is_of_root || identifiers.is_some_and(|(named, own)| named != own);
        if identifiers.is_some() && !anothers {
            self.forged = Some(list);
        }
        if self.unusable.is_none_or(|(_, _, known_anothers)| known_anothers) {
            self.unusable = Some((list, FOREIGN, anothers));
        }
    }

    fn judge(&self, asked: &Asked, policy: RevocationPolicy, now: i64) -> Result<Option<&'l List>, Refused> {
        let is_latest = |list: &List| !self.speaking.iter().any(|(other, _)| other.supersedes(list, now));
        // Whatever a list says of dates, scope or reasons of others: what one of them names is
        // revoked, also where the list is stale or dated in the future, unless a later list of the
        // same series has left it out.
        let mut naming = self.speaking.iter().filter(|(list, _)| list.names(&asked.serial));
        if let Some((list, _)) = naming.find(|(list, _)| is_latest(list)) {
            return Err(Refused::Revoked { list: list.label.to_string() });
        }
        if let Some(list) = self.forged {
            return Err(Refused::Unusable { list: list.label.to_string(), why: FORGED });
        }
        let mut known = Reasons::NONE;
        let mut not_yet = None;
        let mut until: Option<&'l List> = None;
        for (list, reasons) in self.speaking.iter().filter(|(list, _)| is_latest(list)) {
            if until.is_none_or(|until| list.until() < until.until()) {
                until = Some(list);
            }
            if !list.has_begun(now) {
                not_yet = Some(*list);
                continue;
            }
            if list.is_stale(now) && !policy.allow_stale {
                return Err(Refused::Stale { list: list.label.to_string() });
            }
            known = known.either(*reasons);
        }
        if known != Reasons::ALL {
            self.unknown(not_yet, policy)?;
        }
        Ok(until.filter(|_| !policy.allow_stale))
    }

    /// No list speaks, or not for every reason.
    fn unknown(&self, not_yet: Option<&List>, policy: RevocationPolicy) -> Result<(), Refused> {
        match self.unusable {
            Some((list, why, anothers))
                if self.speaking.is_empty() && !(anothers && policy.allow_unknown) =>
            {
                Err(Refused::Unusable { list: list.label.to_string(), why })
            }
            _ if policy.allow_unknown => Ok(()),
            _ => Err(match not_yet {
                Some(list) => Refused::NotYet { list: list.label.to_string() },
                None => Refused::Unknown { partly: !self.speaking.is_empty() },
            }),
        }
    }
}
