//! The decision cache: keyed by what the policies read.
//!
//! Each *site* (policy set, route, method, action) has a *read list*: the union of all reads that
//! its evaluations have made. A question is looked up once, under the list and the values that
//! these reads return for this question now. That is exact. An entry was stored by an evaluation
//! whose reads are all in the list; if all values of the list agree, a fresh evaluation would make
//! the same reads, see the same values and decide the same. When an evaluation makes a new read,
//! the list grows and gets a new number, so entries under the old number are never found again and
//! are evicted. Before that look-up, `front` compares the few decisions that this thread found
//! last, each by its whole trace.
//!
//! Whatever is not in the trace is not in the key, and need not be: the policy set is part of the
//! site (T6); documents, signals, labels and time are reads (T5); the validity of credentials is
//! checked before the cache is asked (T7); faults are not stored (T9).

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

/// Limits of the decision cache. It is always bounded, but the numbers must fit the machine's
/// memory. With 0 `bytes`, only the threads' own entries are kept. With 0 `reads` or `key_bytes`,
/// only decisions without any read are cached. With 0 `sites`, all sites share one list. To turn
/// the cache off, use
/// [`without_decision_cache`](crate::enforce::GuardBuilder::without_decision_cache).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// Bytes of all entries together, with their keys and an allowance for bookkeeping. Not
    /// included are:
    ///
    /// - for each thread that judges, at most 512 KiB of recent decisions, plus what its audit
    ///   events have shown of them (a few times that) and their read lists;
    /// - for each site, its name (at most 8 KiB for a route, 512 bytes for an action) and its list
    ///   (at most 16 KiB of arguments).
    pub bytes: u64,
    /// Sites (combinations of policy set, route, method and action) with a read list of their own.
    /// All further sites share one list; all actions of more than 512 bytes share another.
    pub sites: usize,
    /// Reads in one list, at most 64. A site whose evaluations read more is not cached.
    pub reads: usize,
    /// Bytes of the values of one question. A question with more is not cached.
    pub key_bytes: usize,
}

impl Default for CacheLimits {
    /// 32 MiB, 4096 sites, 64 reads, 2 KiB.
    fn default() -> Self {
        Self { bytes: 32 << 20, sites: 4096, reads: MAX_READS, key_bytes: 2048 }
    }
}

/// Usage of a guard's decision cache, without the threads' own entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStatus {
    /// Decisions, approximately: recently stored ones may not be counted yet.
    pub entries: u64,
    /// Their bytes, approximately, counted as for [`CacheLimits::bytes`].
    pub bytes: u64,
    /// Sites (combinations of policy set, route, method and action) that have a read list.
    pub sites: usize,
    /// The limits of the cache.
    pub bounds: CacheLimits,
}

/// The longest action with a list of its own, in bytes. An application may build actions from what
/// callers send.
const MAX_ACTION_BYTES: usize = 512;

/// Each look-up makes all reads of a list, and an entry stores each position in one byte.
const MAX_READS: usize = 64;

/// The arguments of all reads of one list, in bytes. A policy may build them from what callers
/// send.
const MAX_LIST_BYTES: usize = 16 * 1024;

/// The cost of an entry besides its key and content: its slot in the cache, the keys that the cache
/// remembers for a while after an eviction, and allocations.
const ENTRY_OVERHEAD: usize = 432;

/// A large entry, in bytes. The cache is split into shards of at least 32 such entries. An entry
/// heavier than a shard is not kept.
const ORDINARY_ENTRY: u64 = 4096;

/// Earlier decisions. Each is found only if a fresh evaluation would return the same.
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

/// Hashed with a secret seed. Entries are compared in full (T8).
type Sites = HashMap<Site, Arc<ReadList>, FixedState>;

/// Where a question is asked; in effect, the reads that every evaluation begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Site {
    root: Digest,
    kind: Kind,
}

/// Sites of one set differ in their kind, so a part of the digest is enough.
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
    /// All actions that are too long for a list of their own.
    LongAction,
    /// All sites past the limit. Route, method and action are in the key if they were read, so
    /// sites may share a list. Callers who invent methods of a gRPC service fill only this list;
    /// the decisions of other sites are still cached.
    Others,
}

pub(crate) struct Entry {
    pub(crate) decision: Decision,
    /// The reads of the list that the evaluation made, in order.
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

/// A decision, its reads, and how it was reached.
pub(crate) struct Decided {
    pub(crate) question: Question,
    pub(crate) result: Result<Decision, Fault>,
    pub(crate) trace: Arc<Trace>,
    /// From a fresh evaluation only: a cached decision does not log again.
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
    /// The buffer for keys, so that a look-up with a hit does not allocate one.
    static KEY: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl DecisionCache {
    pub(crate) fn new(bounds: CacheLimits) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let mut seed = [0; 8];
        // Without randomness, callers could at worst slow down look-ups: the size of a table is
        // bounded.
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

    /// The decision of a policy set on a question: from the cache if a fresh evaluation would
    /// return the same, otherwise fresh.
    pub(crate) fn decide(&self, policies: &PolicySet, mut question: Question) -> Decided {
        if let Some(why) = not_cacheable(policies, &question) {
            counters::decision_not_cacheable(why);
            if !policies.is_pure() && !self.told_native.swap(true, Ordering::Relaxed) {
                tracing::info!(
                    target: "ztlib::cache",
                    "decisions of a policy set with a native policy are not cached: it may depend on more than its reads"
                );
            }
            return Decided::fresh(policies, question);
        }
        // Only the application's source of signals can panic here. The evaluation meets the same
        // panic and turns it into a fault.
        let remembered = if policies.view().declared_signals.is_empty() {
            self.remembered(policies, &mut question)
        } else {
            catch_unwind(AssertUnwindSafe(|| self.remembered(policies, &mut question))).unwrap_or(None)
        };
        // A decision that was cached for a caller of the home issuer may be impossible for a caller
        // of another issuer.
        let stands = |(decision, _): &(Decision, Arc<Trace>)| decision.check_issuer(&question.caller).is_ok();
        if let Some((decision, trace)) = remembered.filter(stands) {
            return Decided::remembered(question, decision, trace);
        }
        let mut decided = Decided::fresh(policies, question);
        let store = AssertUnwindSafe(|| self.store(policies, &mut decided));
        // If storing panics, the decision is not cached. It is still what a fresh evaluation
        // returned.
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

    /// Stores a decision under the site's list, which grows by the new reads.
    fn store(&self, policies: &PolicySet, decided: &mut Decided) {
        // T9: without a decision there is nothing to store.
        let Ok(decision) = &decided.result else { return };
        let site = Site::of(policies, &decided.question);
        let (root, kind) = (site.root, site.kind.clone());
        let Some(list) = self.list_for(site, &decided.trace) else { return };
        // The question, view and moment are those of the evaluation: reads of the trace return the
        // same, and the other reads of the list are added.
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
        // During thread shutdown the thread-local is gone: use a new buffer.
        let mut bytes = KEY.try_with(Cell::take).unwrap_or_default();
        let written = key::write(&mut bytes, question, list, policies.view(), self.bounds.key_bytes);
        let made = written.map(|()| of(&bytes));
        // A value that is too long for a key was still written, and may be as long as a header
        // section or a document.
        bytes.clear();
        bytes.shrink_to(self.bounds.key_bytes);
        let _ = KEY.try_with(|kept| kept.set(bytes));
        made
    }

    /// The list for a look-up: the site's own, or the one that sites past the limit share.
    fn list_of(&self, site: &Site) -> Option<Arc<ReadList>> {
        let sites = self.sites.load();
        sites.get(site).or_else(|| sites.get(&site.others())).cloned()
    }

    /// The site's list, extended by all reads of the trace. `None` past the limits.
    fn list_for(&self, site: Site, trace: &Trace) -> Option<Arc<ReadList>> {
        let complete = |list: &&Arc<ReadList>| trace.reads().all(|(read, _)| list.reads.contains(read));
        let list = self.list_of(&site);
        if let Some(list) = list.as_ref().filter(complete) {
            return Some(list.clone());
        }
        // A list never shrinks, so a list without room will never have any. Do not wait for the
        // lock to learn that.
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
        // Sites of sets that are no longer in force are useless.
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

    /// Whether a list has room for all reads of the trace. If not, that is counted.
    fn has_room(&self, site: &Kind, list: Option<&ReadList>, trace: &Trace) -> bool {
        let known = list.map_or(&[][..], |list| &list.reads);
        let new = || trace.reads().map(|(read, _)| read).filter(|read| !known.contains(read));
        if known.len() + new().take(self.bounds.reads + 1).count() > self.bounds.reads {
            counters::decision_not_cacheable("too-many-reads");
            if !self.told_reads.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    target: "ztlib::cache", ?site, limit = self.bounds.reads,
                    "decisions here are not cached: policies make more different reads than `CacheLimits::reads`"
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
    /// Threads may hold the lists for long.
    fn drop(&mut self) {
        self.sites.load().values().for_each(|list| list.usefulness.leave());
    }
}

/// Why a decision cannot be cached: the set has a native policy (T13), or the method is not a known
/// one.
fn not_cacheable(policies: &PolicySet, question: &Question) -> Option<&'static str> {
    if !policies.is_pure() {
        return Some("native-policy");
    }
    match &question.asked {
        Asked::Request(facts) if !is_registered(&facts.parts.method) => Some("method"),
        Asked::Request(_) | Asked::Action(_) => None,
    }
}

/// Methods of the IANA registry that services use. Any other is a caller's invention and has no
/// site.
fn is_registered(method: &http::Method) -> bool {
    use http::Method;
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH]
        .contains(method)
}
