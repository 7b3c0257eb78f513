//! The timing loop: calibrated batches, the lanes in turn, the median of the batches of each. A
//! batch during which the kernel gave the core to somebody else does not count: it says how busy
//! the machine is.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// How long a batch should take: long enough that the clock costs nothing, short enough that a slow
/// spell of the machine hits few of them.
const BATCH: Duration = Duration::from_millis(2);

/// No batch is longer than this, so that what is queued for the audit writer fits its queue.
const MOST: u64 = 20_000;

/// The fewest batches of a lane, however slow it is.
const FEWEST: usize = 5;

/// Something to be timed: runs this many times.
pub type Lane<'a> = &'a mut dyn FnMut(u64);

/// Runs the lanes in turn, a batch each, for about `time` in all; gives the median nanoseconds of
/// one run, lane by lane. What slows the machine for a while slows all lanes, so differences and
/// ratios of lanes of one call can be trusted further than numbers of different calls.
pub fn in_turn(time: Duration, lanes: &mut [Lane<'_>]) -> Vec<f64> {
    in_turn_settling(time, lanes, &mut || ())
}

/// The same, with something to do after each batch that is not counted: letting a writer catch up.
pub fn in_turn_settling(time: Duration, lanes: &mut [Lane<'_>], settle: &mut dyn FnMut()) -> Vec<f64> {
    let sizes: Vec<u64> = lanes.iter_mut().map(|lane| calibrate(lane, settle)).collect();
    let mut samples: Vec<Samples> = lanes.iter().map(|_| Samples::default()).collect();
    let began = Instant::now();
    let mut rounds = 0;
    while began.elapsed() < time || rounds < FEWEST {
        for ((lane, &size), samples) in lanes.iter_mut().zip(&sizes).zip(&mut samples) {
            let (start, ran) = (Instant::now(), thread_time());
            lane(size);
            let took = start.elapsed();
            samples.add(took, thread_time().saturating_sub(ran), size);
            settle();
        }
        rounds += 1;
    }
    samples.iter_mut().map(Samples::median).collect()
}

/// Nanoseconds of one run, batch by batch.
#[derive(Default)]
struct Samples {
    undisturbed: Vec<f64>,
    all: Vec<f64>,
}

impl Samples {
    /// A batch took so long, and this thread ran for so much of it.
    fn add(&mut self, took: Duration, ran: Duration, runs: u64) {
        let one = took.as_nanos() as f64 / runs as f64;
        self.all.push(one);
        if ran.as_secs_f64() >= 0.98 * took.as_secs_f64() {
            self.undisturbed.push(one);
        }
    }

    fn median(&mut self) -> f64 {
        let enough = self.undisturbed.len() >= FEWEST;
        median(if enough { &mut self.undisturbed } else { &mut self.all })
    }
}

/// Nanoseconds of CPU that the whole process needs for one run, lane by lane: all threads count, an
/// audit log's writer and a recorder, too. The lanes take turns, a batch of `size` each, so many
/// rounds; `settle` waits until what a batch has left behind is done, and counts.
pub fn process_cpu_in_turn(
    rounds: usize,
    size: u64,
    lanes: &mut [Lane<'_>],
    settle: &mut dyn FnMut(),
) -> Vec<f64> {
    let mut samples = vec![Vec::new(); lanes.len()];
    for round in 0..=rounds {
        for (lane, samples) in lanes.iter_mut().zip(&mut samples) {
            let before = cpu_time(ClockId::ProcessCPUTime);
            lane(size);
            settle();
            let used = cpu_time(ClockId::ProcessCPUTime).saturating_sub(before);
            // The first round warms up.
            if round > 0 {
                samples.push(used.as_nanos() as f64 / size as f64);
            }
        }
    }
    samples.iter_mut().map(|samples| median(samples)).collect()
}

/// How long this thread has been on a core.
fn thread_time() -> Duration {
    cpu_time(ClockId::ThreadCPUTime)
}

fn cpu_time(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let part = |n: i64| u64::try_from(n).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}

/// How many runs make a batch. It is a warm-up too: the first run of what is remembered is not, and
/// must not make all batches short.
fn calibrate(lane: &mut Lane<'_>, settle: &mut dyn FnMut()) -> u64 {
    let mut took = |size| {
        let start = Instant::now();
        lane(size);
        let took = start.elapsed();
        settle();
        took
    };
    for _ in 0..3 {
        took(1);
    }
    let mut size = 1;
    // Long enough twice in a row: once may be a slow spell.
    while size < MOST && (took(size) < BATCH || took(size) < BATCH) {
        size = (size * 2).min(MOST);
    }
    size
}

/// The median; 0 of nothing.
pub fn median(samples: &mut [f64]) -> f64 {
    samples.sort_unstable_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(0.0)
}

/// What a future gives that needs no waiting, without a runtime in the way.
///
/// # Panics
/// It is not ready at once.
pub fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it had to wait"),
    }
}

/// Resident memory of this process in bytes, as Linux counts it; 0 elsewhere.
pub fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes =
        line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|n| n.trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Nanoseconds of CPU that threads whose name begins with `prefix` have used, as Linux counts it; 0
/// elsewhere.
pub fn cpu_of_threads(prefix: &str) -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks
        .filter(|task| {
            std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.starts_with(prefix))
        })
        .filter_map(|task| {
            let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        })
        .sum()
}
