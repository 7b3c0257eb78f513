//! The host's side of the contract: the host's own code (`ztlib_contract`), asked about facts.

use std::cell::RefCell;
use std::sync::Arc;

use ztlib_contract::engine::Call;
use ztlib_contract::{
    Decision, HeaderChange as Change, Obligations, Outcome, OutcomeFault, OutcomeLimits, Read, ReadLimits,
    Reader, Trace, Value,
};

use super::facts::Facts;
use super::sealed::Constants;
use super::verdict::{Fault, HeaderChange, StepUp, Verdict, reads};
use crate::Answer;

/// The id of every request of a test.
const ID: &str = "00000000000000000000000000000000";

/// Answers a policy from facts and writes down what it asked.
pub(crate) struct Host<'f> {
    facts: &'f Facts,
    /// What a sealed policy put aside; none where the policy was configured here.
    constants: Option<&'f Constants>,
    call: RefCell<Call>,
    /// What cannot be in the facts.
    wrong: Option<String>,
}

/// What a read gives, as a policy in Rust takes it.
trait Given<T> {
    fn given(self) -> Option<T>;
}

macro_rules! given {
    ($($type:ty: $pattern:pat => $value:expr;)*) => {$(
        impl Given<$type> for Value {
            fn given(self) -> Option<$type> {
                match self {
                    $pattern => Some($value),
                    _ => None,
                }
            }
        }

        impl Given<Option<$type>> for Value {
            fn given(self) -> Option<Option<$type>> {
                match self {
                    Value::Absent => Some(None),
                    $pattern => Some(Some($value)),
                    _ => None,
                }
            }
        }
    )*};
}
given! {
    bool: Value::Bool(yes) => yes;
    i64: Value::Int(number) => number;
    u64: Value::Time(seconds) => seconds;
    String: Value::Text(text) => text.as_ref().to_owned();
    Vec<String>: Value::List(items) => items.iter().map(|item| item.as_ref().to_owned()).collect();
}

/// The functions of the contract's reads, each as a method.
macro_rules! functions {
    ($($interface:ident { $($(#[$doc:meta])* $variant:ident $method:ident $function:literal
        $(( $($argument:ident : $kind:ident),+ ))? -> $value:ident,
        of $whose:ident $($flag:ident)*, about $about:ident $($name:expr)?
        $(, rather $rather:literal)?;)* })*) => {
        impl Host<'_> {
            $($(
                #[allow(clippy::wrong_self_convention, reason = "it is called so in the contract")]
                pub(crate) fn $method(&self $(, $($argument: crate::question::argument!($kind)),+)?)
                    -> crate::question::value!($value)
                {
                    self.read(Read::$variant $(( $($argument.into()),+ ))?)
                }
            )*)*
        }
    };
}
ztlib_pattern::reads!(functions);

/// What goes with the answer, each as a method.
macro_rules! attachments {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {
        impl Host<'_> {
            $(pub(crate) fn $name(&self, $($argument: $type),*) {
                self.attach(|outcome| outcome.$name($($argument),*));
            })*
        }
    };
}
attachments! {
    reason(code: &str);
    message(text: &str);
    challenge_step_up(acr: Option<&str>, max_age: Option<u32>);
    set_request_header(name: &str, value: &str);
    remove_request_header(name: &str);
    set_response_header(name: &str, value: &str);
    remove_response_header(name: &str);
    copy_to_request_header(name: &str, source: &str);
    copy_to_request_header_or_remove(name: &str, source: &str);
    copy_to_response_header(name: &str, source: &str);
    copy_to_response_header_or_remove(name: &str, source: &str);
    log(text: &str);
}

impl<'f> Host<'f> {
    pub(super) fn new(facts: &'f Facts) -> Self {
        Self::of(facts, None)
    }

    pub(super) fn with_constants(facts: &'f Facts, constants: &'f Constants) -> Self {
        Self::of(facts, Some(constants))
    }

    fn of(facts: &'f Facts, constants: Option<&'f Constants>) -> Self {
        let (call, wrong) = match (facts.question(), facts.view()) {
            (Ok(question), Ok(view)) => {
                let outcome = Outcome::new(OutcomeLimits::default()).keeping(&view.secret_headers);
                let reader = Reader::new(Box::new(question), view, ReadLimits::default());
                (Call { reader, outcome }, None)
            }
            (Err(wrong), _) | (_, Err(wrong)) => (Call::without_question(), Some(wrong)),
        };
        Self { facts, constants, call: RefCell::new(call), wrong }
    }

    /// Not a read: nothing is written down.
    pub(crate) fn constant(&self, key: &str) -> Option<Vec<u8>> {
        self.constants.and_then(|constants| constants.get(key)).cloned()
    }

    /// Make a read. Where it fails the evaluation ends here.
    fn read<T>(&self, read: Read) -> T
    where
        Value: Given<T>,
    {
        self.check_facts();
        let answer = self.call.borrow_mut().reader.read(read);
        match answer.map(Given::given) {
            Ok(Some(value)) => value,
            Ok(None) => self.stop(ztlib_contract::Fault::new("internal", "a value of another type")),
            Err(fault) => self.stop(fault.into()),
        }
    }

    /// Attach something to the answer. Where it cannot be used the evaluation ends here.
    fn attach(&self, change: impl FnOnce(&mut Outcome) -> Result<(), OutcomeFault>) {
        self.check_facts();
        let result = change(&mut self.call.borrow_mut().outcome);
        if let Err(fault) = result {
            self.stop(fault.into());
        }
    }

    fn check_facts(&self) {
        if let Some(wrong) = &self.wrong {
            self.stop(ztlib_contract::Fault::new("test-facts", wrong.as_str()));
        }
    }

    /// End the evaluation: unwind past the policy to where it was asked. No panic message is
    /// printed.
    fn stop(&self, fault: ztlib_contract::Fault) -> ! {
        std::panic::resume_unwind(Box::new(self.fault(fault)))
    }

    pub(super) fn fault(&self, fault: ztlib_contract::Fault) -> Fault {
        let call = self.call.borrow();
        Fault::of(&call.reader.explain(fault), call.reader.trace())
    }

    /// What the set would decide by this answer, were this its only policy.
    pub(super) fn verdict(&self, answer: Answer) -> Result<Verdict, Fault> {
        if let Some(wrong) = &self.wrong {
            return Err(self.fault(ztlib_contract::Fault::new("test-facts", wrong.as_str())));
        }
        let Call { reader, mut outcome } = self.call.replace(Call::without_question());
        let any_issuers_word = reader.takes_any_issuers_word(&outcome);
        let (mut question, trace) = reader.into_parts();
        let fault = |fault: ztlib_contract::Fault, trace: &Trace| Fault::of(&fault, trace);
        if let (Some(reason), Some(declared), Answer::Deny) = (&outcome.reason, &self.facts.reasons, answer)
            && !declared.contains(reason.as_str())
        {
            return Err(fault(OutcomeFault::UndeclaredReason(reason.clone()).into(), &trace));
        }
        let mut verdict = Verdict {
            answer,
            reason: outcome.reason.as_ref().map(|reason| reason.as_str().to_owned()),
            message: outcome.message.as_deref().map(str::to_owned),
            step_up: outcome
                .step_up
                .as_ref()
                .map(|step_up| StepUp { acr: step_up.acr().map(str::to_owned), max_age: step_up.max_age() }),
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            log: outcome.log.iter().map(|line| line.as_ref().to_owned()).collect(),
            trace: reads(&trace),
        };
        let mut obligations = Obligations::default();
        obligations.add(&mut outcome).map_err(|conflict| fault(conflict.into(), &trace))?;
        if answer != Answer::Allow {
            // They are carried out with an allow alone; what a policy set is shown all the same.
            (verdict.request_headers, verdict.response_headers) =
                (set(&obligations.request), set(&obligations.response));
            return Ok(verdict);
        }
        obligations.on_any_issuers_word = any_issuers_word.then(|| Arc::from("this policy"));
        let decision = Decision::Allow(obligations);
        decision.check_issuer(&question.caller).map_err(|asked| fault(asked, &trace))?;
        let Decision::Allow(obligations) = decision else { return Ok(verdict) };
        let view = self.facts.view().unwrap_or_default();
        let settled =
            obligations.settle(&mut question, &view, &ID).map_err(|unusable| fault(unusable, &trace))?;
        (verdict.request_headers, verdict.response_headers) =
            (changes(settled.request), changes(settled.response));
        Ok(verdict)
    }
}

fn changes(settled: Vec<Change>) -> Vec<HeaderChange> {
    let change = |Change { name, value }| HeaderChange {
        name: name.as_str().to_owned(),
        value: value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
    };
    settled.into_iter().map(change).collect()
}

/// The headers to set and to remove, without the copies.
fn set(obligations: &[ztlib_contract::Obligation]) -> Vec<HeaderChange> {
    let fixed = obligations.iter().filter_map(ztlib_contract::Obligation::fixed);
    changes(fixed.collect())
}
