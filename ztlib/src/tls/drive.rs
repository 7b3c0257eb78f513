//! The end of a connection: by its peer, its protocol, a timer, another connection that needs its
//! place, or the end of the server.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::HttpVersion;
use super::limits::{GRACE, HttpLimits, least_progress};
use super::places::Slot;
use super::streams::Streams;
use super::transport::Meter;

/// The phase of the server. If its sender is gone, every connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Serving,
    Draining,
    Cut,
}

/// The client's preface (RFC 9113 section 3.4).
const PREFACE_BYTES: u64 = 24;
/// How often timers are checked within the shortest of them.
const LOOKS: u32 = 8;
const LONGEST_TICK: Duration = Duration::from_secs(5);
const DRAINING_TICK: Duration = Duration::from_millis(100);

/// What is watched while a connection is served.
pub(super) struct Watch {
    pub(super) slot: Arc<Slot>,
    pub(super) meter: Arc<Meter>,
    /// For HTTP/2 only.
    pub(super) streams: Option<Streams>,
    pub(super) protocol: HttpVersion,
    pub(super) limits: HttpLimits,
    began: Instant,
    /// When the peer stopped taking bytes, and how many had been written by then.
    blocked: Option<(Instant, u64)>,
    /// When the connection was told to end.
    finishing: Option<Instant>,
}

enum Look {
    GoOn,
    Finish,
    End(Option<&'static str>),
}

enum Event {
    Ended(Result<(), hyper::Error>),
    Phase(bool),
    Evicted,
    Tick,
}

impl Watch {
    pub(super) fn new(
        slot: &Arc<Slot>,
        meter: &Arc<Meter>,
        streams: Option<Streams>,
        protocol: HttpVersion,
        limits: HttpLimits,
    ) -> Self {
        Self {
            slot: Arc::clone(slot),
            meter: Arc::clone(meter),
            streams,
            protocol,
            limits,
            began: Instant::now(),
            blocked: None,
            finishing: None,
        }
    }

    fn tick(&self) -> Duration {
        let limits = &self.limits;
        let shortest = limits.header_timeout.min(limits.idle_timeout).min(limits.answer_timeout);
        let tick = (shortest / LOOKS).clamp(Duration::from_millis(1), LONGEST_TICK);
        if self.finishing.is_some() { tick.min(DRAINING_TICK) } else { tick }
    }

    /// hyper has the other timers: HTTP/1.1's `header_read_timeout` and HTTP/2's pings.
    fn look(&mut self) -> Look {
        if self.writing_stands_still() || self.streams.as_ref().is_some_and(Streams::stand_still) {
            return Look::End(Some("answer-timeout"));
        }
        let Some(free) = self.slot.free_for() else { return Look::GoOn };
        if let Some(since) = self.finishing {
            return if free.min(since.elapsed()) >= GRACE { Look::End(None) } else { Look::GoOn };
        }
        if self.protocol != HttpVersion::Http2 {
            return Look::GoOn;
        }
        let heard = self.meter.heard.load(Ordering::Relaxed);
        if heard < PREFACE_BYTES && self.began.elapsed() >= self.limits.header_timeout {
            return Look::End(Some("preface-timeout"));
        }
        if free >= self.limits.idle_timeout { Look::Finish } else { Look::GoOn }
    }

    fn writing_stands_still(&mut self) -> bool {
        let limit = self.limits.answer_timeout;
        if !self.meter.is_blocked() {
            self.blocked = None;
            return false;
        }
        let written = self.meter.written();
        let (since, before) = self.blocked.get_or_insert((Instant::now(), written));
        if since.elapsed() < limit {
            return false;
        }
        let moved = written.saturating_sub(*before);
        self.blocked = None;
        moved < least_progress(limit)
    }
}

/// Polls the connection until it ends, or ends it when its time is up.
pub(super) async fn drive<C>(
    connection: C,
    mut phases: watch::Receiver<Phase>,
    mut watch: Watch,
    finish: impl Fn(Pin<&mut C>),
) where
    C: Future<Output = Result<(), hyper::Error>>,
{
    let mut connection = pin!(connection);
    let slot = Arc::clone(&watch.slot);
    let mut evicted = pin!(slot.evicted());
    let mut tick = pin!(sleep(watch.tick()));
    loop {
        let event = {
            let mut changed = pin!(phases.changed());
            poll_fn(|cx| {
                // Polled before the connection: a peer that sends without a pause uses up the
                // task's budget, and then no timer and no signal of the server would be noticed.
                if let Poll::Ready(changed) = changed.as_mut().poll(cx) {
                    return Poll::Ready(Event::Phase(changed.is_ok()));
                }
                if tick.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Event::Tick);
                }
                if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                    return Poll::Ready(Event::Ended(ended));
                }
                // Polled after it, since a request may just have arrived. It gets its turn even so.
                evicted.as_mut().poll(cx).map(|()| Event::Evicted)
            })
            .await
        };
        let look = match event {
            Event::Ended(Ok(())) => return,
            Event::Ended(Err(error)) => {
                tracing::debug!(%error, "a connection ended with an error");
                // After at least one request, hyper's timer only ended an idle connection.
                match fault_of_peer(&error, watch.protocol) {
                    Some("header-timeout") if slot.was_used() => {}
                    Some(code) => ended(code),
                    None => {}
                }
                return;
            }
            Event::Phase(false) => return,
            Event::Phase(true) => match *phases.borrow_and_update() {
                Phase::Serving => Look::GoOn,
                Phase::Draining => Look::Finish,
                Phase::Cut => return,
            },
            Event::Evicted => {
                // Send what can be sent at once: that no further request is accepted.
                finish(connection.as_mut());
                poll_fn(|cx| Poll::Ready(connection.as_mut().poll(cx).is_ready())).await;
                ended("made-room");
                return;
            }
            Event::Tick => watch.look(),
        };
        match look {
            Look::GoOn => {}
            Look::Finish => {
                watch.finishing.get_or_insert_with(Instant::now);
                finish(connection.as_mut());
            }
            Look::End(code) => {
                if let Some(code) = code {
                    ended(code);
                }
                return;
            }
        }
        tick.as_mut().reset(Instant::now() + watch.tick());
    }
}

/// Anyone who can open connections can cause these. So they are counted by code, and logged only at
/// a level that is off in production.
pub(super) fn ended(code: &'static str) {
    metrics::counter!("ztlib_connections_ended_total", "code" => code).increment(1);
    tracing::debug!(target: "ztlib::refusal", stage = "connection", code, "ended");
}

/// The code of a peer's violation of HTTP; `None` if the peer merely went away.
fn fault_of_peer(error: &hyper::Error, protocol: HttpVersion) -> Option<&'static str> {
    if error.is_timeout() {
        return Some(match protocol {
            HttpVersion::Http1 => "header-timeout",
            HttpVersion::Http2 => "ping-timeout",
        });
    }
    if error.is_parse_too_large() {
        return Some("header-too-large");
    }
    if error.is_parse() {
        return Some("malformed-http");
    }
    let mut cause = error.source();
    while let Some(inner) = cause {
        if inner.is::<io::Error>() {
            return None;
        }
        if let Some(error) = inner.downcast_ref::<h2::Error>() {
            return error.is_library().then_some("malformed-http");
        }
        cause = inner.source();
    }
    None
}
