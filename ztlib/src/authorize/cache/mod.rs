//! The decision cache: keyed by what the policies read.
//!
//! For each *site* (policy set, route, method, action) the union of the reads that its evaluations have made is remembered: the *read list*.
//! A question is looked up once, under (list, the values that these reads give for this question, now). That is exact: an entry was stored by an
//! evaluation whose reads all lie in the list, so where all of the list's values agree, a fresh evaluation would make the same reads,
//! see the same values and say the same. When an evaluation reads something new, the list grows, under a new number; entries
//! under the old number are never found again and fall out.
//!
//! What is not in the trace is not in the key, and need not be: the policy set is the site's root (T6); documents, signals, labels and time are
//! reads (T5); credentials' own life is checked before this is asked (T7); faults are not stored (T9).

mod key;
mod read_list;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use moka::sync::Cache;

use super::decision::Decision;
use super::policy::{Digest, Evaluation, PolicySet};
use super::question::{Asked, Question};
use super::read::{Read, Value};
use super::trace::Trace;
use crate::observe::metrics;

use key::Key;
use read_list::ReadList;

/// Bounds on what decision caching may hold. There is no unbounded cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheBounds {
    /// Bytes of all entries together, counted with their keys and an allowance for the bookkeeping of each.
    pub bytes: u64,
    /// Sites (combinations of policy set, route, method and action) that have a read list of their own. All others share one.
    pub sites: usize,
    /// Reads in one list, at most 64. A site whose evaluations read more is evaluated each time.
    pub reads: usize,
    /// Bytes of the values of one question. Above it the question is evaluated.
    pub key_bytes: usize,
}

impl Default for CacheBounds {
    /// 32 MiB, 4096 sites, 64 reads, 2 KiB.
    fn default() -> Self {
        Self { bytes: 32 << 20, sites: 4096, reads: MAX_READS, key_bytes: 2048 }
    }
}

/// A bit of a `u64` for each read of a list.
const MAX_READS: usize = 64;

/// The arguments of all reads of one list in bytes: a policy may make them of what callers send.
const MAX_LIST_BYTES: usize = 16 * 1024;

/// What an entry costs besides its key and what it holds: moka's own nodes and counters, and allocations. Measured in `benches/`.
const ENTRY_OVERHEAD: usize = 256;

/// Decisions that were made before, each found only where a fresh evaluation would say the same.
pub(crate) struct DecisionCache {
    bounds: CacheBounds,
    sites: ArcSwap<HashMap<Site, Arc<ReadList>>>,
    growing: Mutex<()>,
    entries: Cache<Key, Arc<Entry>>,
}

/// Where a question is asked: the reads that every evaluation begins with, in effect.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Site {
    root: Digest,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    Request {
        route: Option<Arc<str>>,
        method: http::Method,
    },
    Action(Arc<str>),
    /// Every site past the bound. What is read of route, method and action is in the key, so lists may be shared: callers who make up
    /// methods of a gRPC service fill this one, and nobody else's decisions go unremembered for it.
    Others,
}

impl Site {
    fn others(&self) -> Self {
        Self { root: self.root, kind: Kind::Others }
    }
}

struct Entry {
    decision: Decision,
    /// Which reads of the list the evaluation made: bit n for read n.
    made: u64,
}

/// A decision, and whether a policy was asked for it.
pub(crate) struct Decided {
    pub(crate) evaluation: Evaluation,
    pub(crate) cached: bool,
}

impl DecisionCache {
    pub(crate) fn new(bounds: CacheBounds) -> Self {
        let weigh = |key: &Key, entry: &Arc<Entry>| {
            u32::try_from(ENTRY_OVERHEAD + key.0.len() + entry.decision.size()).unwrap_or(u32::MAX)
        };
        Self {
            bounds: CacheBounds { reads: bounds.reads.min(MAX_READS), ..bounds },
            sites: ArcSwap::default(),
            growing: Mutex::new(()),
            entries: Cache::builder().max_capacity(bounds.bytes).weigher(weigh).build(),
        }
    }

    /// The decision on a question by a policy set: from memory where a fresh evaluation would say the same, otherwise fresh.
    pub(crate) fn decide(&self, policies: &PolicySet, mut question: Box<Question>) -> Decided {
        let Some(site) = self.site(policies, &question) else {
            return Decided { evaluation: policies.evaluate(question), cached: false };
        };
        let list = self.list_of(&site);
        if let Some(list) = &list
            && let Some((key, values)) = self.key(list, policies, &mut question)
        {
            let found = self.entries.get(&key);
            list.looked_up(found.is_some(), &site.kind);
            if let Some(entry) = found {
                let evaluation =
                    policies.remembered(question, entry.decision.clone(), list.trace(values, entry.made));
                return Decided { evaluation, cached: true };
            }
        }
        let mut evaluation = policies.evaluate(question);
        self.store(site, policies, &mut evaluation);
        Decided { evaluation, cached: false }
    }

    /// None where decisions are not cached: a set whose policies can look elsewhere (T13), a method that a caller made up.
    fn site(&self, policies: &PolicySet, question: &Question) -> Option<Site> {
        if !policies.is_pure() {
            return None;
        }
        let kind = match &question.asked {
            Asked::Action(action) => Kind::Action(action.clone()),
            Asked::Request(facts) => {
                let method = facts.parts.method.clone();
                let route = facts.route.clone();
                is_registered(&method).then_some(Kind::Request { route, method })?
            }
        };
        Some(Site { root: policies.root(), kind })
    }

    fn key(
        &self,
        list: &ReadList,
        policies: &PolicySet,
        question: &mut Question,
    ) -> Option<(Key, Vec<Value>)> {
        // A panic can only come from the application's source of signals. The evaluation meets it again, and makes a fault of it.
        let key = || Key::of(question, list, policies.view(), self.bounds.key_bytes);
        catch_unwind(AssertUnwindSafe(key)).unwrap_or(None)
    }

    /// Remembers a decision under the site's list, which grows by what is new.
    fn store(&self, site: Site, policies: &PolicySet, evaluation: &mut Evaluation) {
        // T9: no decision could be reached, so there is none to remember.
        let Ok(decision) = &evaluation.result else { return };
        let decision = decision.clone();
        let Some(list) = self.list_for(site, &evaluation.trace) else { return };
        // The same question, view and moment as the evaluation saw: what the trace holds comes out again, and the rest of the list is added.
        let Some((key, _)) = self.key(&list, policies, &mut evaluation.question) else { return };
        let made = list.bits(&evaluation.trace);
        self.entries.insert(key, Arc::new(Entry { decision, made }));
    }

    /// The list under which a question is looked up: the site's own, or the one that the sites past the bound share.
    fn list_of(&self, site: &Site) -> Option<Arc<ReadList>> {
        let sites = self.sites.load();
        sites.get(site).or_else(|| sites.get(&site.others())).cloned()
    }

    /// The site's list, holding all reads of the trace. None past the bounds.
    fn list_for(&self, site: Site, trace: &Trace) -> Option<Arc<ReadList>> {
        let complete = |list: &Arc<ReadList>| trace.reads().all(|(read, _)| list.reads.contains(read));
        if let Some(list) = self.list_of(&site).filter(complete) {
            return Some(list);
        }
        // Rare: a new site or a new read. The map is copied, so that look-ups never wait.
        let _one_at_a_time = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let sites = self.sites.load_full();
        let in_force = || sites.keys().filter(|other| other.root == site.root).count();
        let is_full = sites.len() >= self.bounds.sites && in_force() >= self.bounds.sites;
        let site = if is_full && !sites.contains_key(&site) {
            metrics::decision_not_cacheable("too-many-sites");
            site.others()
        } else {
            site
        };
        let known = sites.get(&site);
        if let Some(list) = known.filter(|list| complete(list)) {
            return Some(list.clone());
        }
        let mut reads = known.map(|list| list.reads.clone()).unwrap_or_default();
        for (read, _) in trace.reads() {
            if !reads.contains(read) {
                reads.push(read.clone());
            }
            if reads.len() > self.bounds.reads {
                break;
            }
        }
        if reads.len() > self.bounds.reads {
            metrics::decision_not_cacheable("too-many-reads");
            return None;
        }
        if reads.iter().map(Read::size).sum::<usize>() > MAX_LIST_BYTES {
            metrics::decision_not_cacheable("too-long-reads");
            return None;
        }
        let mut sites = HashMap::clone(&sites);
        // Sites of sets that are not in force any more are of no use.
        sites.retain(|other, _| other.root == site.root);
        let list = Arc::new(ReadList::new(reads));
        sites.insert(site, list.clone());
        self.sites.store(Arc::new(sites));
        Some(list)
    }
}

/// Methods of the IANA registry that services use. Another one is a word that a caller chose: it has no site.
fn is_registered(method: &http::Method) -> bool {
    use http::Method;
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH]
        .contains(method)
}
