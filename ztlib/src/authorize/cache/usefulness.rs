//! Whether caching the decisions of a site pays; and if not, why.
//!
//! First, hits are counted over windows of look-ups, which costs almost nothing. If there are few
//! hits, misses are sampled for a while. A read whose value differs nearly every time makes
//! decisions that are never found again. If the same questions are missed again and again, the
//! cache is too small for them.

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::key::Key;
use crate::authorize::Read;
use crate::authorize::Trace;
use crate::counters;

/// Look-ups in a window. Fewer hits than one in eight are too few.
const WINDOW: u64 = 2048;
/// Misses in a sample.
const SAMPLE: usize = 2048;
/// Different values counted for one read.
const MOST_VALUES: usize = 1024;
/// Samples in progress at the same time, in the whole process. Each takes up to a megabyte.
const MOST_SAMPLES: usize = 4;
/// Reads named in one report.
const MOST_NAMED: usize = 3;

/// The counters of one read list.
#[derive(Default)]
pub(super) struct Usefulness {
    lookups: AtomicU64,
    hits: AtomicU64,
    is_sampling: AtomicBool,
    misses: Mutex<Misses>,
    /// Whether the operator was told, and hits have not recovered since.
    told: AtomicBool,
}

/// The sampled misses of one site.
#[derive(Default)]
enum Misses {
    #[default]
    Nothing,
    Some(Sample),
    /// Sampling has ended: another list has replaced this one, which threads may still hold.
    Left,
}

impl Usefulness {
    /// Counts look-ups and hits.
    pub(super) fn count(&self, lookups: u64, hits: u64) {
        self.hits.fetch_add(hits, Ordering::Relaxed);
        if self.lookups.fetch_add(lookups, Ordering::Relaxed) + lookups < WINDOW {
            return;
        }
        let (lookups, hits) = (self.lookups.swap(0, Ordering::Relaxed), self.hits.swap(0, Ordering::Relaxed));
        if lookups < WINDOW {
            // Another thread has just ended this window.
            return;
        }
        if hits >= lookups / 8 {
            self.told.store(false, Ordering::Relaxed);
        } else if !self.told.load(Ordering::Relaxed) && !self.is_sampling.load(Ordering::Relaxed) {
            let mut misses = self.misses.lock().unwrap_or_else(PoisonError::into_inner);
            if let Misses::Nothing = *misses
                && let Some(sample) = Sample::begin()
            {
                *misses = Misses::Some(sample);
                self.is_sampling.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Frees the sample for other sites: nobody asks under this list any longer.
    pub(super) fn leave(&self) {
        *self.misses.lock().unwrap_or_else(PoisonError::into_inner) = Misses::Left;
        self.is_sampling.store(false, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn was_told(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }

    /// Records a cache miss, if this site is being sampled.
    pub(super) fn missed(&self, site: &dyn fmt::Debug, key: &Key, trace: &Trace) {
        if !self.is_sampling.load(Ordering::Relaxed) {
            return;
        }
        let Some(mut sample) = self.last_of_sample(key, trace) else { return };
        self.told.store(true, Ordering::Relaxed);
        self.is_sampling.store(false, Ordering::Relaxed);
        // No lock is held here: a listener may ask questions of its own.
        sample.report(site);
    }

    /// Adds to the sample. Returns it when it is complete.
    fn last_of_sample(&self, key: &Key, trace: &Trace) -> Option<Sample> {
        let mut misses = self.misses.lock().unwrap_or_else(PoisonError::into_inner);
        let Misses::Some(sample) = &mut *misses else { return None };
        sample.add(key, trace);
        if sample.misses < SAMPLE {
            return None;
        }
        match std::mem::replace(&mut *misses, Misses::Nothing) {
            Misses::Some(sample) => Some(sample),
            Misses::Nothing | Misses::Left => None,
        }
    }
}

static SAMPLES: AtomicUsize = AtomicUsize::new(0);

/// A sample of one site's misses.
struct Sample {
    misses: usize,
    keys: HashSet<u64>,
    reads: Vec<Varying>,
}

/// A read, how often it was made, and the values it returned.
struct Varying {
    read: Read,
    made: usize,
    values: HashSet<u64>,
}

impl Varying {
    /// Whether it returns another value nearly every time.
    fn varies(&self) -> bool {
        self.values.len() >= MOST_VALUES || self.values.len() > self.made / 2
    }
}

impl Sample {
    /// `None` if the maximum number of samples is in progress.
    fn begin() -> Option<Self> {
        let one_more = |under_way| (under_way < MOST_SAMPLES).then_some(under_way + 1);
        SAMPLES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Self { misses: 0, keys: HashSet::new(), reads: Vec::new() })
    }

    fn add(&mut self, key: &Key, trace: &Trace) {
        self.misses += 1;
        self.keys.insert(hash(&key.0));
        for (read, value) in trace.reads() {
            let known = self.reads.iter().position(|varying| varying.read == *read);
            let at = known.unwrap_or_else(|| {
                self.reads.push(Varying { read: read.clone(), made: 0, values: HashSet::new() });
                self.reads.len() - 1
            });
            let Some(varying) = self.reads.get_mut(at) else { continue };
            varying.made += 1;
            if varying.values.len() < MOST_VALUES {
                varying.values.insert(hash(value.to_string().as_bytes()));
            }
        }
    }

    /// The reads that vary, worst first. Empty if the same questions are missed again and again.
    fn blamed(&mut self) -> &[Varying] {
        if self.keys.len() < self.misses / 2 {
            return &[];
        }
        self.reads.sort_by_key(|varying| std::cmp::Reverse(varying.values.len()));
        // If none varies much, several together are to blame.
        let vary = self.reads.iter().filter(|varying| varying.varies()).count();
        let most = if vary == 0 { 2 } else { vary };
        self.reads.get(..most.min(MOST_NAMED)).unwrap_or(&self.reads)
    }

    /// Reports to the operator.
    fn report(&mut self, site: &dyn fmt::Debug) {
        let (misses, questions) = (self.misses, self.keys.len());
        let blamed = self.blamed();
        if blamed.is_empty() {
            counters::cache_report("cache-too-small");
            tracing::warn!(
                target: "ztlib::cache", ?site, misses, questions,
                "cached decisions here are evicted before they are asked for again: raise `CacheLimits::bytes` (`GuardBuilder::cache_limits`)"
            );
            return;
        }
        counters::cache_report("values-vary");
        for Varying { read, made, values } in blamed {
            let instead = read.narrower().unwrap_or("fewer things at once");
            tracing::warn!(
                target: "ztlib::cache", ?site, %read, values = values.len(), made,
                "cached decisions here are hardly ever found again, because a value that a policy reads varies: let it ask {instead}"
            );
        }
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        SAMPLES.fetch_sub(1, Ordering::Relaxed);
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorize::Value;

    /// The reads blamed for misses with these values of `now`, a header and a label.
    fn blamed(questions: impl Iterator<Item = (u64, String, &'static str)>) -> Vec<String> {
        // Like `begin`, but regardless of how many are in progress.
        SAMPLES.fetch_add(1, Ordering::Relaxed);
        let mut sample = Sample { misses: 0, keys: HashSet::new(), reads: Vec::new() };
        for (now, header, label) in questions {
            let mut trace = Trace::default();
            trace.record(Read::Header("x-a".into()), Value::Text(header.as_str().into()));
            trace.record(Read::Now, Value::Time(now));
            trace.record(Read::Label("class".into()), Value::Text(label.into()));
            sample.add(&Key(format!("{now} {header} {label}").into_bytes().into()), &trace);
        }
        sample.blamed().iter().map(|varying| varying.read.to_string()).collect()
    }

    #[test]
    fn the_read_that_varies_is_blamed_and_no_other() {
        let same = || "acme".to_owned();
        assert_eq!(blamed((0..2048).map(|n| (n, same(), "a"))), ["now"]);
        assert_eq!(blamed((0..2048).map(|n| (7, format!("user-{n}"), "a"))), [r#"header("x-a")"#]);
        let both = blamed((0..2048).map(|n| (n, format!("user-{n}"), "a")));
        assert_eq!(both.len(), 2, "{both:?}");
    }

    #[test]
    fn where_none_varies_much_the_two_that_vary_most_are_blamed_together() {
        let questions =
            (0..2048).map(|n| (n / 45, format!("user-{}", n % 45), if n % 2 == 0 { "a" } else { "b" }));
        let mut names = blamed(questions);
        names.sort();
        assert_eq!(names, [r#"header("x-a")"#, "now"]);
    }

    #[test]
    fn questions_that_are_missed_again_and_again_blame_the_cache() {
        assert!(blamed((0..2048).map(|n| (7, format!("user-{}", n % 1000), "a"))).is_empty());
    }
}
