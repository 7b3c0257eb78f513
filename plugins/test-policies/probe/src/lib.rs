#![doc = include_str!("../README.md")]
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

mod call;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use call::Function;
use ztlib_policy::config::{Text, from_json};
use ztlib_policy::{Answer, Policy, Question, config_struct, export_policy};

/// A policy that does what its configuration says.
#[derive(Debug)]
pub struct Probe {
    log: bool,
    first: Step,
}

#[derive(Debug)]
struct Step {
    calls: Vec<Call>,
    then: Then,
}

#[derive(Debug)]
enum Then {
    Answer(Answer),
    Ask { call: Call, yes: Box<Step>, no: Box<Step> },
}

#[derive(Debug)]
struct Call {
    name: String,
    function: Function,
    arguments: Vec<String>,
}

impl Policy for Probe {
    fn configure(config: &[u8]) -> Result<Self, String> {
        let Config { log, decide } = from_json(config)?;
        Ok(Self { log: log.unwrap_or(false), first: step(decide)? })
    }

    fn decide(&self, question: &Question<'_>) -> Answer {
        let mut step = &self.first;
        loop {
            for call in &step.calls {
                self.make(question, call);
            }
            step = match &step.then {
                Then::Answer(answer) => return *answer,
                Then::Ask { call, yes, no } => {
                    if self.make(question, call) {
                        yes
                    } else {
                        no
                    }
                }
            };
        }
    }
}

impl Probe {
    /// Make a call; whether its value counts as yes.
    fn make(&self, question: &Question<'_>, call: &Call) -> bool {
        let Some(value) = (call.function)(question, &call.arguments) else { return false };
        if self.log {
            question.log(&format!("{}={value}", call.name));
        }
        value.is_yes()
    }
}

config_struct! {
    struct Config<'a> {
        log: Option<bool> = "log",
        decide: StepConfig<'a> = "decide",
    }
}

config_struct! {
    struct StepConfig<'a> {
        calls: Vec<CallConfig<'a>> = "do",
        answer: Option<Text<'a>> = "answer",
        ask: Option<CallConfig<'a>> = "if",
        yes: Option<Box<StepConfig<'a>>> = "then",
        no: Option<Box<StepConfig<'a>>> = "else",
    }
}

config_struct! {
    struct CallConfig<'a> {
        name: Text<'a> = "call",
        arguments: Vec<Argument> = "with",
    }
}

/// A string; empty is allowed.
struct Argument(String);

impl<'a> ztlib_policy::config::FromConfig<'a> for Argument {
    fn read(reader: &mut ztlib_policy::config::Reader<'a>) -> Result<Self, ztlib_policy::config::Error> {
        reader.string().map(|text| Self(text.into_owned()))
    }
}

fn step(config: StepConfig<'_>) -> Result<Step, String> {
    let calls = config.calls.into_iter().map(call).collect::<Result<_, _>>()?;
    let then = match (config.answer, config.ask, config.yes, config.no) {
        (Some(answer), None, None, None) => Then::Answer(match answer.as_str() {
            "allow" => Answer::Allow,
            "deny" => Answer::Deny,
            "abstain" => Answer::Abstain,
            other => return Err(format!("`{other}` is not an answer")),
        }),
        (None, Some(ask), Some(yes), Some(no)) => {
            Then::Ask { call: call(ask)?, yes: Box::new(step(*yes)?), no: Box::new(step(*no)?) }
        }
        _ => return Err("a step has `answer`, or `if`, `then` and `else`".to_string()),
    };
    Ok(Step { calls, then })
}

fn call(config: CallConfig<'_>) -> Result<Call, String> {
    let name = config.name.as_str().to_string();
    let (function, parameters) =
        call::function(&name).ok_or_else(|| format!("`{name}` is not in the contract"))?;
    let arguments: Vec<String> = config.arguments.into_iter().map(|argument| argument.0).collect();
    if arguments.len() != parameters {
        return Err(format!("`{name}` takes {parameters} arguments, not {}", arguments.len()));
    }
    Ok(Call { name, function, arguments })
}

export_policy!(Probe, arena = 256 * 1024, no_std);
