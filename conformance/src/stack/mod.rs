//! Whatever can be asked a scenario: a bare tower stack, a server over sockets; and the comparison
//! with the reference model.

mod bare;
mod reply;
mod socket;

use ztlib::observe::{AuditEvent, Verdict};

use crate::model;
use crate::scenario::{Case, Cast, Decision, Exchange, ScenarioError};

pub use bare::{BareStack, HTTP_ROUTES, SERVICES, ask, ask_matched};
pub(crate) use bare::{matched_route, reached};
pub use reply::Reply;
pub use socket::{Serving, SocketStack};

/// Something that answers requests behind a guard.
pub trait StackUnderTest {
    /// What `not-on` of a case calls it.
    fn name(&self) -> &'static str;

    /// Whether it can have such a request at all: a gRPC server has no plain ones.
    fn takes(&self, exchange: &Exchange) -> bool;

    /// Sends one request and tells what was seen of it.
    ///
    /// # Errors
    /// The test itself failed.
    fn send(&mut self, cast: &Cast<'_>, case: &Case, exchange: &Exchange) -> Result<Seen, ScenarioError>;
}

/// What was seen of one request.
#[derive(Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "stacks in other crates make it")]
pub struct Seen {
    /// The audit events that it left.
    pub events: Vec<AuditEvent>,
    /// What the caller got; none where the connection was refused.
    pub reply: Option<Reply>,
    /// Why the connection was refused, where it was.
    pub refused_connection: Option<String>,
}

/// What became of a request, in the words that all stacks and the model share.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "the model and the stacks are compared by all of it")]
pub struct Answer {
    /// What was decided.
    pub decision: Decision,
    /// Whether it was carried out.
    pub enforced: bool,
    /// The precise reason.
    pub reason: Option<String>,
    /// The policy that denied or failed.
    pub policy: Option<String>,
    /// What the caller got; none where the connection was refused.
    pub reply: Option<Reply>,
}

/// How a run went.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// The stack.
    pub stack: &'static str,
    /// How many cases it was asked.
    pub ran: usize,
    /// Cases that it cannot have, or is not asked with a stated reason.
    pub skipped: usize,
    /// How many answers came from the decision cache; every case is asked twice.
    pub from_cache: usize,
    /// Each disagreement, with both answers.
    pub disagreements: Vec<String>,
}

impl Report {
    /// The number of cases, in a sentence.
    pub fn summary(&self) -> String {
        let Self { stack, ran, skipped, from_cache, disagreements } = self;
        format!(
            "{stack}: {ran} cases, each asked twice ({from_cache} answers from the cache), {} disagreements, {skipped} not for this stack",
            disagreements.len()
        )
    }

    /// Nothing, where at least this many cases ran and all agreed.
    ///
    /// # Errors
    /// Too few cases, or each disagreement.
    pub fn verdict(&self, least: usize) -> Result<(), String> {
        if self.ran < least {
            return Err(format!("{} (at least {least} are expected)", self.summary()));
        }
        if self.disagreements.is_empty() {
            Ok(())
        } else {
            Err(format!("{}\n\n{}", self.summary(), self.disagreements.join("\n\n")))
        }
    }
}

/// Asks a stack every case that it can have, and compares its answer with what the case expects and
/// with the model.
///
/// # Errors
/// The test itself failed.
pub fn run(cast: &Cast<'_>, stack: &mut dyn StackUnderTest) -> Result<Report, ScenarioError> {
    let mut report = Report { stack: stack.name(), ..Report::default() };
    for case in &cast.scenarios().cases {
        let place = || format!("{} “{}” on {}", case.file, case.name, report.stack);
        let exchange = cast.exchange(case).map_err(|error| error.within(&place()))?;
        if !stack.takes(&exchange) || case.skipped_on(stack.name()).is_some() {
            report.skipped += 1;
            continue;
        }
        let expected =
            model::judge(cast.scenarios(), case, &exchange).map_err(|error| error.within(&place()))?;
        let mut wrong = expected.differences_from(case);
        let mut shown = String::new();
        // Asked twice: the second answer may come from the decision cache, and must be the same.
        for _ in 0..2 {
            let seen = stack.send(cast, case, &exchange).map_err(|error| error.within(&place()))?;
            report.from_cache += seen.events.iter().filter(|event| event.cached()).count();
            wrong.extend(seen.leaks(&exchange));
            wrong.extend(seen.in_the_wrong_form(&exchange));
            match seen.answer() {
                Ok(answer) => {
                    wrong.extend(answer.differences(&expected));
                    shown = format!("{answer:?}");
                }
                Err(problem) => wrong.push(problem),
            }
        }
        report.ran += 1;
        if !wrong.is_empty() {
            report.disagreements.push(format!(
                "{} “{}”\n  {} {} as {} with {} at {}\n  case:  {:?} {:?}\n  model: {expected:?}\n  {}: {shown}\n  {}",
                case.file,
                case.name,
                exchange.method,
                exchange.target,
                case.peer,
                case.token,
                case.service,
                case.decision,
                case.reason,
                report.stack,
                wrong.join("\n  ")
            ));
        }
    }
    Ok(report)
}

impl Seen {
    /// What is no gRPC call is never refused as one: that would be an HTTP 200.
    fn in_the_wrong_form(&self, exchange: &Exchange) -> Option<String> {
        let refused = self.reply.as_ref().filter(|reply| reply.reached.is_none())?;
        let wrong = !exchange.grpc && refused.status.is_none();
        wrong.then(|| "a request of HTTP was refused in gRPC's words".to_owned())
    }

    /// Parts of a token of the request that stand in an audit event.
    fn leaks(&self, exchange: &Exchange) -> Option<String> {
        let shown: String = self.events.iter().map(|event| format!("{}{event:?}", event.to_json())).collect();
        secrets(exchange)
            .any(|secret| shown.contains(secret))
            .then(|| "a part of the token stands in the audit event".to_owned())
    }

    /// What became of the request, from its one audit event and the reply.
    fn answer(self) -> Result<Answer, String> {
        if let Some(code) = self.refused_connection {
            if !self.events.is_empty() {
                return Err("the connection was refused, and an audit event arrived".to_owned());
            }
            let decision = Decision::Unauthenticated;
            return Ok(Answer { decision, enforced: true, reason: Some(code), policy: None, reply: None });
        }
        let [event] = self.events.as_slice() else {
            return Err(format!("{} audit events arrived, one was expected", self.events.len()));
        };
        let Some(reply) = self.reply else { return Err("there was no reply".to_owned()) };
        if let Some(id) = &reply.id
            && *id != event.id().to_string()
        {
            return Err(format!("the caller was told the id {id}, the audit event has {}", event.id()));
        }
        if reply.reached.is_none() && reply.id.is_none() {
            return Err("the caller was refused and told no id".to_owned());
        }
        let decision = match event.verdict() {
            Verdict::Allow => Decision::Allow,
            Verdict::Public => Decision::Public,
            Verdict::Deny => Decision::Deny,
            Verdict::Unauthenticated => Decision::Unauthenticated,
            Verdict::BadRequest => Decision::BadRequest,
            Verdict::Fault => Decision::Fault,
            other => return Err(format!("the verdict `{}` is not known to the scenarios", other.as_str())),
        };
        Ok(Answer {
            decision,
            enforced: event.enforced(),
            reason: event.reason().map(str::to_owned),
            policy: event.policy().map(str::to_owned),
            reply: Some(reply),
        })
    }
}

impl Answer {
    /// Where this answer of the model is not what the case expects.
    fn differences_from(&self, case: &Case) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut compare = |what: &str, holds: bool| {
            if !holds {
                wrong.push(format!("the model and the case differ in {what}"));
            }
        };
        let told = |expected: &Option<String>, value: Option<&String>| {
            expected.is_none() || expected.as_ref() == value
        };
        let reply = self.reply.as_ref();
        compare("the decision", self.decision == case.decision);
        compare("the reason", self.reason == case.reason);
        compare("the policy", told(&case.policy, self.policy.as_ref()));
        compare("the message", told(&case.message, reply.and_then(|reply| reply.message.as_ref())));
        compare("the challenge", told(&case.challenge, reply.and_then(|reply| reply.challenge.as_ref())));
        compare("what it reaches", told(&case.reaches, reply.and_then(|reply| reply.reached.as_ref())));
        wrong
    }

    /// Where this answer of a stack is not the model's.
    fn differences(&self, model: &Self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut compare = |what: &str, equal: bool| {
            if !equal {
                wrong.push(format!("the stack and the model differ in {what}"));
            }
        };
        compare("the decision", self.decision == model.decision);
        compare("whether it is enforced", self.enforced == model.enforced);
        compare("the reason", self.reason == model.reason);
        compare("the policy", self.policy == model.policy);
        if let (Some(seen), Some(expected)) = (&self.reply, &model.reply) {
            compare("what is reached", seen.reached == expected.reached);
            if seen.reached.is_none() {
                // A stack sees the status of the protocol that was spoken; the bare one sees both.
                compare("whether a status is told", seen.status.is_some() || seen.grpc.is_some());
                compare("the HTTP status", seen.status.is_none() || seen.status == expected.status);
                compare("the gRPC code", seen.grpc.is_none() || seen.grpc == expected.grpc);
                compare("the code for the caller", seen.code == expected.code);
                // What is wrong with a request that cannot be judged is said in words of ztlib's
                // own.
                compare(
                    "the message",
                    seen.message == expected.message || model.decision == Decision::BadRequest,
                );
                compare("the challenge", seen.challenge == expected.challenge);
            }
        }
        wrong
    }
}

/// The claims and the signature of each token that is sent; the header is the same for many tokens.
fn secrets(exchange: &Exchange) -> impl Iterator<Item = &str> {
    let credentials =
        exchange.headers.iter().filter(|(name, _)| name == "authorization").map(|(_, value)| value);
    credentials.flat_map(|value| value.split('.').skip(1)).filter(|part| part.len() > 16)
}
