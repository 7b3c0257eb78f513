//! The decision cache: keyed by what the policies read.
//!
//! For each *site* (policy set, route, method, action) the union of the reads that its evaluations
//! have made is remembered: the *read list*. A question is looked up once, under (list, the values
//! that these reads give for this question, now). That is exact: an entry was stored by an
//! evaluation whose reads all lie in the list, so where all of the list's values agree, a fresh
//! evaluation would make the same reads, see the same values and say the same. When an evaluation
//! reads something new, the list grows, under a new number; entries under the old number are never
//! found again and fall out. Before that, `front` compares the few decisions that this thread found
//! last, each by its whole trace.
//!
//! What is not in the trace is not in the key, and need not be: the policy set is the site's root
//! (T6); documents, signals, labels and time are reads (T5); credentials' own life is checked
//! before this is asked (T7); faults are not stored (T9).

mod front;
mod key;
mod read_list;
#[cfg(test)]
mod tests;
mod usefulness;

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use foldhash::quality::FixedState;
use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};
use smallvec::SmallVec;

use super::set::PolicySet;
use super::{Asked, Decision, Fault, Question, Read, Trace};
use crate::clock::Stopwatch;
use crate::counters;
use crate::digest::Digest;

use key::{Key, NoKey};
use read_list::ReadList;

/// Bounds on what decision caching may hold. There is no unbounded cache, but numbers greater
/// than the machine's memory bound nothing. With 0 `bytes` only what threads keep is
/// remembered, with 0 `reads` or `key_bytes` nothing that a policy read anything for, and with 0
/// `sites` all share one list. A guard can also be without any
/// ([`without_decision_cache`](crate::enforce::GuardBuilder::without_decision_cache)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// Bytes of all entries together, counted with their keys and an allowance for the bookkeeping
    /// of each. Besides, each thread that judges keeps at most 512 KiB of what it found last,
    /// beside what its audit events have shown of it (a few times that) and the read lists that it
    /// was found under; and each site its name (a route of 8 KiB, or an action of 512 bytes, at
    /// most) and its list (16 KiB of arguments at most).
    pub bytes: u64,
    /// Sites (combinations of policy set, route, method and action) that have a read list of their
    /// own. All others share one; all actions of more than 512 bytes share another.
    pub sites: usize,
    /// Reads in one list, at most 64. A site whose evaluations read more is evaluated each time.
    pub reads: usize,
    /// Bytes of the values of one question. Above it the question is evaluated.
    pub key_bytes: usize,
}

impl Default for CacheLimits {
    /// 32 MiB, 4096 sites, 64 reads, 2 KiB.
    fn default() -> Self {
        Self { bytes: 32 << 20, sites: 4096, reads: MAX_READS, key_bytes: 2048 }
    }
}

/// What a guard's decision cache holds. Threads' own few decisions are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStatus {
    /// Decisions.
    pub entries: u64,
    /// Their bytes, as [`CacheLimits::bytes`] counts them.
    pub bytes: u64,
    /// Sites (combinations of policy set, route, method and action) that have a read list.
    pub sites: usize,
    /// What it may hold.
    pub bounds: CacheLimits,
}

/// The longest action that has a list of its own, in bytes: an application may make it of what
/// callers send.
const MAX_ACTION_BYTES: usize = 512;

/// Each look-up makes all reads of a list, and an entry has a byte for the place of each.
const MAX_READS: usize = 64;

/// The arguments of all reads of one list in bytes: a policy may make them of what callers send.
const MAX_LIST_BYTES: usize = 16 * 1024;

/// What an entry costs besides its key and what it holds: its place in the cache, the keys that the
/// cache remembers for a while after an eviction, and allocations.
const ENTRY_OVERHEAD: usize = 432;

/// What an entry may well weigh. The cache is split into shards of at least 32 of them, and what is
/// heavier than a shard is not kept.
const ORDINARY_ENTRY: u64 = 4096;

/// Decisions that were made before, each found only where a fresh evaluation would say the same.
pub(crate) struct DecisionCache {
    /// Unique in this process.
    number: u64,
    bounds: CacheLimits,
    sites: ArcSwap<Sites>,
    growing: Mutex<()>,
    told_native: AtomicBool,
    told_reads: AtomicBool,
    entries: Cache<Key, Arc<Entry>, Weigher, FixedState>,
}

/// Hashed with a seed that nobody knows; what is found is compared in full (T8).
type Sites = HashMap<Site, Arc<ReadList>, FixedState>;

/// Where a question is asked: the reads that every evaluation begins with, in effect.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Site {
    root: Digest,
    kind: Kind,
}

/// Sites of one set differ in their kind: a part of the digest is enough.
impl Hash for Site {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.root.beginning());
        self.kind.hash(state);
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    Request {
        route: Option<Arc<str>>,
        method: http::Method,
    },
    Action(Arc<str>),
    /// Every action that is too long for a name.
    LongAction,
    /// Every site past the bound. What is read of route, method and action is in the key, so lists
    /// may be shared: callers who make up methods of a gRPC service fill this one, and nobody
    /// else's decisions go unremembered for it.
    Others,
}

pub(crate) struct Entry {
    pub(crate) decision: Decision,
    /// Which reads of the list the evaluation made, in the order in which it made them.
    made: SmallVec<[u8; 16]>,
}

/// Counts an entry's bytes.
#[derive(Clone)]
struct Weigher;

impl Weighter<Key, Arc<Entry>> for Weigher {
    fn weight(&self, key: &Key, entry: &Arc<Entry>) -> u64 {
        let held = key.0.len() + entry.decision.size() + entry.made.len();
        u64::try_from(ENTRY_OVERHEAD + held).unwrap_or(u64::MAX)
    }
}

/// A decision, what it depends on, and whether a policy was asked for it.
pub(crate) struct Decided {
    pub(crate) question: Question,
    pub(crate) result: Result<Decision, Fault>,
    pub(crate) trace: Arc<Trace>,
    /// Of a fresh evaluation; a remembered one does not log again.
    pub(crate) log: Vec<(Arc<str>, Box<str>)>,
    pub(crate) fuel: u64,
    /// How long a fresh evaluation took.
    pub(crate) took: Option<Duration>,
    pub(crate) cached: bool,
}

impl Decided {
    /// Asks the policies.
    pub(crate) fn fresh(policies: &PolicySet, question: Question) -> Self {
        let watch = Stopwatch::start();
        let evaluation = policies.evaluate(Box::new(question));
        Self {
            question: *evaluation.question,
            result: evaluation.result,
            trace: Arc::new(evaluation.trace),
            log: evaluation.log,
            fuel: evaluation.fuel,
            took: Some(watch.elapsed()),
            cached: false,
        }
    }

    fn remembered(question: Question, decision: Decision, trace: Arc<Trace>) -> Self {
        Self { question, result: Ok(decision), trace, log: Vec::new(), fuel: 0, took: None, cached: true }
    }
}

thread_local! {
    /// Where keys are written: a look-up that finds its decision allocates none.
    static KEY: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl DecisionCache {
    pub(crate) fn new(bounds: CacheLimits) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let mut seed = [0; 8];
        // Without randomness callers could at worst make look-ups slower: a table is no wider than
        // its bound.
        let _ = aws_lc_rs::rand::fill(&mut seed);
        let hasher = FixedState::with_seed(u64::from_ne_bytes(seed));
        Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            bounds: CacheLimits { reads: bounds.reads.min(MAX_READS), ..bounds },
            sites: ArcSwap::from_pointee(Sites::with_hasher(hasher.clone())),
            growing: Mutex::new(()),
            told_native: AtomicBool::new(false),
            told_reads: AtomicBool::new(false),
            entries: Cache::with(
                usize::try_from(bounds.bytes / ORDINARY_ENTRY).unwrap_or(usize::MAX),
                bounds.bytes,
                Weigher,
                hasher,
                DefaultLifecycle::default(),
            ),
        }
    }

    pub(crate) fn status(&self) -> CacheStatus {
        CacheStatus {
            entries: u64::try_from(self.entries.len()).unwrap_or(u64::MAX),
            bytes: self.entries.weight(),
            sites: self.sites.load().len(),
            bounds: self.bounds,
        }
    }

    /// The decision on a question by a policy set: from memory where a fresh evaluation would say
    /// the same, otherwise fresh.
    pub(crate) fn decide(&self, policies: &PolicySet, mut question: Question) -> Decided {
        if let Some(why) = not_cacheable(policies, &question) {
            counters::decision_not_cacheable(why);
            if !policies.is_pure() && !self.told_native.swap(true, Ordering::Relaxed) {
                tracing::info!(
                    target: "ztlib::cache",
                    "decisions of a policy set with a native policy are not remembered: nobody knows what it looks at"
                );
            }
            return Decided::fresh(policies, question);
        }
        // A panic can only come from the application's source of signals. The evaluation meets it
        // again, and makes a fault of it.
        let remembered = if policies.view().declared_signals.is_empty() {
            self.remembered(policies, &mut question)
        } else {
            catch_unwind(AssertUnwindSafe(|| self.remembered(policies, &mut question))).unwrap_or(None)
        };
        // What was remembered of a caller of the home issuer may be nothing that can be said of one
        // of another.
        let stands = |(decision, _): &(Decision, Arc<Trace>)| decision.check_issuer(&question.caller).is_ok();
        if let Some((decision, trace)) = remembered.filter(stands) {
            return Decided::remembered(question, decision, trace);
        }
        let mut decided = Decided::fresh(policies, question);
        let store = AssertUnwindSafe(|| self.store(policies, &mut decided));
        // Not stored, then: it is still what a fresh evaluation says.
        let _ = catch_unwind(store);
        decided
    }

    fn remembered(&self, policies: &PolicySet, question: &mut Question) -> Option<(Decision, Arc<Trace>)> {
        if let Some(found) = front::get(self.number, policies, question) {
            return Some(found);
        }
        let (list, entry) = self.shared(policies, question)?;
        let trace = Arc::new(list.trace(question, policies.view(), &entry.made)?);
        front::put(self.number, policies.root(), question, &entry.decision, &trace, &list);
        Some((entry.decision.clone(), trace))
    }

    /// Looks into the cache that all threads share.
    pub(crate) fn shared(
        &self,
        policies: &PolicySet,
        question: &mut Question,
    ) -> Option<(Arc<ReadList>, Arc<Entry>)> {
        let site = Site::of(policies, question);
        let list = self.list_of(&site)?;
        let found = self.with_key(&list, policies, question, |key| self.entries.get(key)).ok()?;
        list.usefulness.count(1, found.is_some().into());
        Some((list, found?))
    }

    /// Remembers a decision under the site's list, which grows by what is new.
    fn store(&self, policies: &PolicySet, decided: &mut Decided) {
        // T9: no decision could be reached, so there is none to remember.
        let Ok(decision) = &decided.result else { return };
        let site = Site::of(policies, &decided.question);
        let (root, kind) = (site.root, site.kind.clone());
        let Some(list) = self.list_for(site, &decided.trace) else { return };
        // The same question, view and moment as the evaluation saw: what the trace holds comes out
        // again, and the rest of the list is added.
        let key = match self.with_key(&list, policies, &mut decided.question, |key| Key(key.into())) {
            Ok(key) => key,
            Err(NoKey::Unreadable) => return counters::decision_not_cacheable("unreadable"),
            Err(NoKey::TooLong(read)) => {
                list.too_long(&kind, read, self.bounds.key_bytes);
                return counters::decision_not_cacheable("too-long-values");
            }
        };
        list.usefulness.missed(&kind, &key, &decided.trace);
        let made = list.places(&decided.trace);
        front::put(self.number, root, &decided.question, decision, &decided.trace, &list);
        self.entries.insert(key, Arc::new(Entry { decision: decision.clone(), made }));
    }

    /// Writes the key of a question.
    fn with_key<'l, T>(
        &self,
        list: &'l ReadList,
        policies: &PolicySet,
        question: &mut Question,
        of: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, NoKey<'l>> {
        // A thread that is about to end has no buffer any more.
        let mut bytes = KEY.try_with(Cell::take).unwrap_or_default();
        let written = key::write(&mut bytes, question, list, policies.view(), self.bounds.key_bytes);
        let made = written.map(|()| of(&bytes));
        // A value that no key has room for was written all the same, and may be as long as a header
        // section or a document.
        bytes.clear();
        bytes.shrink_to(self.bounds.key_bytes);
        let _ = KEY.try_with(|kept| kept.set(bytes));
        made
    }

    /// The list under which a question is looked up: the site's own, or the one that the sites past
    /// the bound share.
    fn list_of(&self, site: &Site) -> Option<Arc<ReadList>> {
        let sites = self.sites.load();
        sites.get(site).or_else(|| sites.get(&site.others())).cloned()
    }

    /// The site's list, holding all reads of the trace. None past the bounds.
    fn list_for(&self, site: Site, trace: &Trace) -> Option<Arc<ReadList>> {
        let complete = |list: &&Arc<ReadList>| trace.reads().all(|(read, _)| list.reads.contains(read));
        let list = self.list_of(&site);
        if let Some(list) = list.as_ref().filter(complete) {
            return Some(list.clone());
        }
        // A list never shrinks: where it has no room now it will have none, and nobody need wait to
        // be told so.
        if !self.has_room(&site.kind, list.as_deref(), trace) {
            return None;
        }
        // Rare: a new site or a new read. The map is copied, so that look-ups never wait.
        let _one_at_a_time = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let sites = self.sites.load_full();
        let in_force = || sites.keys().filter(|other| other.root == site.root).count();
        let is_full = sites.len() >= self.bounds.sites && in_force() >= self.bounds.sites;
        let site = if is_full && !sites.contains_key(&site) {
            counters::decision_not_cacheable("too-many-sites");
            site.others()
        } else {
            site
        };
        let known = sites.get(&site);
        if let Some(list) = known.filter(complete) {
            return Some(list.clone());
        }
        if !self.has_room(&site.kind, known.map(Arc::as_ref), trace) {
            return None;
        }
        let mut reads = known.map(|list| list.reads.clone()).unwrap_or_default();
        for (read, _) in trace.reads() {
            if !reads.contains(read) {
                reads.push(read.clone());
            }
        }
        let mut sites = Sites::clone(&sites);
        // Sites of sets that are not in force any more are of no use.
        for (_, left) in sites.extract_if(|other, _| other.root != site.root) {
            left.usefulness.leave();
        }
        let list = Arc::new(ReadList::new(reads));
        if let Some(left) = sites.insert(site, list.clone()) {
            left.usefulness.leave();
        }
        self.sites.store(Arc::new(sites));
        Some(list)
    }

    /// Whether a list can take in all reads of the trace. Where it cannot, that is counted.
    fn has_room(&self, site: &Kind, list: Option<&ReadList>, trace: &Trace) -> bool {
        let known = list.map_or(&[][..], |list| &list.reads);
        let new = || trace.reads().map(|(read, _)| read).filter(|read| !known.contains(read));
        if known.len() + new().take(self.bounds.reads + 1).count() > self.bounds.reads {
            counters::decision_not_cacheable("too-many-reads");
            if !self.told_reads.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    target: "ztlib::cache", ?site, limit = self.bounds.reads,
                    "decisions here are not remembered: policies make more different reads than `CacheLimits::reads`"
                );
            }
            return false;
        }
        if known.iter().chain(new()).map(Read::size).sum::<usize>() > MAX_LIST_BYTES {
            counters::decision_not_cacheable("too-long-reads");
            return false;
        }
        true
    }
}

impl Site {
    fn of(policies: &PolicySet, question: &Question) -> Self {
        let kind = match &question.asked {
            Asked::Action(action) if action.len() > MAX_ACTION_BYTES => Kind::LongAction,
            Asked::Action(action) => Kind::Action(action.clone()),
            Asked::Request(facts) => {
                Kind::Request { route: facts.route.clone(), method: facts.parts.method.clone() }
            }
        };
        Self { root: policies.root(), kind }
    }

    fn others(&self) -> Self {
        Self { root: self.root, kind: Kind::Others }
    }
}

impl Drop for DecisionCache {
    /// Threads may hold its lists for long.
    fn drop(&mut self) {
        self.sites.load().values().for_each(|list| list.usefulness.leave());
    }
}

/// Not a set whose policies can look elsewhere (T13), and not a method that a caller made up.
fn not_cacheable(policies: &PolicySet, question: &Question) -> Option<&'static str> {
    if !policies.is_pure() {
        return Some("native-policy");
    }
    match &question.asked {
        Asked::Request(facts) if !is_registered(&facts.parts.method) => Some("method"),
        Asked::Request(_) | Asked::Action(_) => None,
    }
}

/// Methods of the IANA registry that services use. Another one is a word that a caller chose: it
/// has no site.
fn is_registered(method: &http::Method) -> bool {
    use http::Method;
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH]
        .contains(method)
}
