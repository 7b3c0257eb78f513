//! The reader: a policy's only window on the question. It answers, counts and records.

use super::decision::Fault;
use super::outcome::Outcome;
use super::question::Question;
use super::read::{Read, ReadFault, Value};
use super::trace::Trace;
use super::view::View;

/// Bounds on what one policy may read in one evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// Calls, counting those that ask again what was asked before.
    pub calls: u32,
    /// Bytes of all arguments and values of the trace.
    pub bytes: usize,
}

impl Default for ReadLimits {
    /// 256 calls, 64 KiB.
    fn default() -> Self {
        Self { calls: 256, bytes: 64 * 1024 }
    }
}

/// A policy's window on one question: every read is answered from the question, counted against
/// [`ReadLimits`] and recorded in the trace. A read that was made before returns what it gave
/// before.
pub struct Reader {
    question: Box<Question>,
    view: View,
    limits: ReadLimits,
    calls: u32,
    bytes: usize,
    /// Those of them that the caller sent.
    sent: usize,
    trace: Trace,
    /// The read that failed last, and how.
    failed: Option<(Read, &'static str)>,
    /// Whether this policy has asked who issued the token.
    asked_for_issuer: bool,
    /// Whether this policy has read what an issuer says.
    heard_an_issuer: bool,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("trace", &self.trace).finish_non_exhaustive()
    }
}

impl Reader {
    /// A reader for one question. Each policy of a set begins with limits of its own: see
    /// [`begin`](Self::begin).
    pub fn new(question: Box<Question>, view: View, limits: ReadLimits) -> Self {
        Self {
            question,
            view,
            limits,
            calls: 0,
            bytes: 0,
            sent: 0,
            trace: Trace::default(),
            failed: None,
            asked_for_issuer: false,
            heard_an_issuer: false,
        }
    }

    /// Gives the next policy a budget of its own. What was read before stays known, so that the
    /// trace tells one story.
    pub fn begin(&mut self, limits: ReadLimits) {
        self.limits = limits;
        self.calls = 0;
        self.bytes = 0;
        self.sent = 0;
        self.failed = None;
        self.asked_for_issuer = false;
        self.heard_an_issuer = false;
    }

    /// Makes one read.
    ///
    /// # Errors
    /// Every [`ReadFault`]. A policy that meets one must not go on: what it would say is not what
    /// it would have said.
    pub fn read(&mut self, read: Read) -> Result<Value, ReadFault> {
        self.asked_for_issuer |= read.asks_for_issuer();
        self.heard_an_issuer |= read.is_word_of_an_issuer();
        match self.answer(&read) {
            Ok((value, true)) => Ok(value),
            Ok((value, false)) => {
                self.trace.record(read, value.clone());
                Ok(value)
            }
            Err(fault) => {
                self.failed = Some((read, fault.code()));
                Err(fault)
            }
        }
    }

    /// What a read returns, and whether it was made before.
    fn answer(&mut self, read: &Read) -> Result<(Value, bool), ReadFault> {
        self.calls = self.calls.saturating_add(1);
        if self.calls > self.limits.calls {
            return Err(ReadFault::Budget("reads"));
        }
        if let Some(known) = self.trace.value(read) {
            return Ok((known.clone(), true));
        }
        // The argument is paid for before it is looked at, the value before it is handed on.
        self.pay(read.size())?;
        let value = self.question.answer(read, &self.view)?;
        // Of a yes, a number or an absence the caller does not choose how long it is.
        if read.is_sent() && matches!(value, Value::Text(_) | Value::List(_)) {
            self.sent = self.sent.saturating_add(value.size());
        }
        self.pay(value.size())?;
        Ok((value, false))
    }

    /// The fault with the read that it came of: the trace holds only those that succeeded.
    pub fn explain(&self, fault: Fault) -> Fault {
        match &self.failed {
            Some((read, code)) if *code == fault.code() => fault.about(read),
            _ => fault,
        }
    }

    fn pay(&mut self, bytes: usize) -> Result<(), ReadFault> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes <= self.limits.bytes {
            return Ok(());
        }
        // But for what the caller sent, would the budget have lasted?
        let others = self.bytes.saturating_sub(self.sent);
        Err(if others <= self.limits.bytes {
            ReadFault::TooLong
        } else {
            ReadFault::Budget("the bytes of reads")
        })
    }

    /// Whether what this policy says, or has copied, depends on what an issuer says, and it never
    /// asked which one.
    pub fn takes_any_issuers_word(&self, outcome: &Outcome) -> bool {
        let copies = |of: fn(&Read) -> bool| outcome.copied_to_request().any(of);
        // A service that is given the issuer beside the subject can tell them apart itself.
        !self.asked_for_issuer
            && (self.heard_an_issuer
                || (copies(Read::is_word_of_an_issuer) && !copies(Read::asks_for_issuer)))
    }

    /// What was read so far.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The question, and everything that was read of it.
    pub fn into_parts(self) -> (Box<Question>, Trace) {
        (self.question, self.trace)
    }
}
