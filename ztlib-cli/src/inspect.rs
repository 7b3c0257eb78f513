//! `policy inspect`: what policies are made of, what they may use, what they read.

use std::ffi::OsStr;
use std::fs;

use serde_json::{Value, json};
use ztlib::policies::cases::Draft;
use ztlib::policies::{Budget, LoadError, Module, sha256};

use crate::Ended;
use crate::args::Inspect;
use crate::failure::{BROKEN, Failure};
use crate::show::{Desk, coverage_json};

pub(crate) fn run(inspect: &Inspect, desk: &mut Desk<'_>) -> Result<Ended, Failure> {
    if inspect.file.extension() == Some(OsStr::new("wasm")) {
        let bytes = fs::read(&inspect.file).map_err(|error| {
            Failure::new(BROKEN, "file-not-found", format!("{}: {error}", inspect.file.display()))
        })?;
        let module = Module::inspect(&bytes).map_err(LoadError::from)?;
        if desk.json {
            desk.value(&module_json(&module, &sha256(&bytes)))?;
        } else {
            print(&module, &sha256(&bytes), desk)?;
        }
        return Ok(Ended::Well);
    }
    let draft = Draft::load(&inspect.file)?;
    let coverage = draft.coverage(&draft.run()?);
    let policies = draft.policies();
    if desk.json {
        let policies = policies.iter().zip(&coverage).map(|(policy, coverage)| {
            json!({
                "policy": policy.name, "line": policy.line, "may_abstain": policy.may_abstain, "reasons": policy.reasons,
                "module": policy.module.as_ref().zip(policy.sha256.as_deref()).map(|(module, sha256)| module_json(module, sha256)), "budget": budget_json(&policy.budget),
                "seen": coverage_json(coverage),
            })
        });
        let policies: Vec<Value> = policies.collect();
        desk.value(&json!({
            "revision": draft.revision().to_string(), "digest": draft.revision().digest(), "policies": policies,
        }))?;
        return Ok(Ended::Well);
    }
    for (policy, coverage) in policies.iter().zip(&coverage) {
        let kind = if policy.may_abstain { "may abstain" } else { "required" };
        desk.line(&format!("policy `{}`: {kind}; reasons: {}", policy.name, policy.reasons.join(", ")))?;
        if let (Some(module), Some(sha256)) = (&policy.module, &policy.sha256) {
            print(module, sha256, desk)?;
        }
        let budget = &policy.budget;
        desk.line(&format!(
            "budget: fuel {}, fuel of configure {}, memory {} bytes, wall clock {} ms, {} reads",
            budget.fuel,
            budget.config_fuel,
            budget.memory_bytes,
            budget.wall_clock.as_millis(),
            budget.reads.calls
        ))?;
        for read in &coverage.reads {
            desk.line(&format!("reads {read}"))?;
        }
    }
    Ok(Ended::Well)
}

fn print(module: &Module, sha256: &str, desk: &mut Desk<'_>) -> std::io::Result<()> {
    desk.line(&format!(
        "module: {} bytes, {} functions (the largest has {} bytes), memory {} bytes, sha256 {}",
        module.bytes, module.functions, module.largest_function, module.memory_bytes, sha256
    ))?;
    for name in &module.imports {
        desk.line(&format!("imports {name}"))?;
    }
    for name in &module.exports {
        desk.line(&format!("exports {name}"))?;
    }
    Ok(())
}

fn module_json(module: &Module, sha256: &str) -> Value {
    json!({
        "bytes": module.bytes, "sha256": sha256, "functions": module.functions,
        "largest_function": module.largest_function, "memory_bytes": module.memory_bytes,
        "imports": module.imports, "exports": module.exports,
    })
}

fn budget_json(budget: &Budget) -> Value {
    json!({
        "fuel": budget.fuel, "config_fuel": budget.config_fuel, "memory_bytes": budget.memory_bytes,
        "wall_clock_ms": u64::try_from(budget.wall_clock.as_millis()).unwrap_or(u64::MAX), "reads": budget.reads.calls,
    })
}
