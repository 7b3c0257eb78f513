//! One policy in four languages (`plugins/languages`): the same cases, reads and words, whatever it
//! is written in.
//!
//! Rust and C are committed. JavaScript and Python are 12 and 18 MB: `plugins/languages/build.sh`
//! builds them, and where it was not run they are skipped, unless `ZTLIB_LANGUAGES` names them:
//! those must be there.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::panic,
    reason = "a test that cannot set itself up has failed, and says what it skipped"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::{Value, json};
use ztlib::policies::cases::{self, Report};
use ztlib::policies::{Budget, LoadError, Module, PolicySetBuilder, PolicyStore};

const REASONS: [&str; 4] = ["no-rule", "no-role", "closed", "login-too-old"];

fn plugins() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins")
}

/// What is there of the policy, by language; Rust first.
static MODULES: LazyLock<Vec<(&str, Vec<u8>)>> = LazyLock::new(|| {
    let built = |language: &'static str, file: &str| (language, fs::read(plugins().join(file)).unwrap());
    let mut modules =
        vec![built("rust", "artifacts/office-hours.wasm"), built("c", "artifacts/office-hours-c.wasm")];
    modules.extend(
        ["javascript", "python"].map(|language| Some((language, big(language)?))).into_iter().flatten(),
    );
    modules
});

/// They take seconds to compile, so it is done once.
static LOADED: LazyLock<Vec<(&str, PolicyStore)>> = LazyLock::new(|| {
    let configured = |(language, module): &(&'static str, Vec<u8>)| {
        (*language, load(language, module, &sample()).unwrap())
    };
    MODULES.iter().map(configured).collect()
});

/// A component that is not committed.
fn big(language: &str) -> Option<Vec<u8>> {
    let file = plugins().join("target/languages").join(language).join("policy.wasm");
    let module = fs::read(&file).ok();
    if module.is_none() {
        let wanted = std::env::var("ZTLIB_LANGUAGES").unwrap_or_default();
        assert!(!wanted.split(' ').any(|name| name == language), "{} is not there", file.display());
        eprintln!("SKIPPED: {language}, since plugins/languages/build.sh has not built it");
    }
    module
}

fn sample() -> Value {
    serde_norway::from_str(&fs::read_to_string(plugins().join("languages/sample.yaml")).unwrap()).unwrap()
}

/// As plugins/README.md says.
fn budget(language: &str) -> Budget {
    let mut budget = Budget::default();
    match language {
        "javascript" | "javascript-with-features" => {
            (budget.module_bytes, budget.memory_bytes) = (16 << 20, 16 << 20)
        }
        "python" => (budget.module_bytes, budget.memory_bytes) = (32 << 20, 32 << 20),
        _ => {}
    }
    budget
}

fn load_with(module: &[u8], config: &Value, budget: Budget) -> Result<PolicyStore, LoadError> {
    PolicySetBuilder::new()
        .component("office-hours", module)
        .reasons(REASONS)
        .config(config)
        .budget(budget)
        .load()
}

fn load(language: &str, module: &[u8], config: &Value) -> Result<PolicyStore, LoadError> {
    load_with(module, config, budget(language))
}

fn report(policies: &PolicyStore) -> Report {
    policies.test(&cases::read(plugins().join("languages/tests/office-hours.toml")).unwrap()).unwrap()
}

#[test]
fn the_same_cases_hold_in_each_language() {
    for (language, policies) in LOADED.iter() {
        let report = report(policies);
        let failures: Vec<String> = report.failures().map(ToString::to_string).collect();
        assert!(failures.is_empty(), "{language}: {failures:?}");
        assert_eq!(report.passed(), 12, "{language}");
    }
}

#[test]
fn each_language_reads_the_same_in_the_same_order_and_gives_the_same_words() {
    let said = |policies: &PolicyStore| -> Vec<Value> {
        let report = report(policies);
        let results = report.results().map(|result| {
            let reads = result.evaluation().trace().reads();
            json!({
                "case": result.case(),
                "verdict": result.verdict().to_string(),
                "reason": result.reason(),
                "message": result.message(),
                "headers": result.headers().collect::<Vec<_>>(),
                "reads": reads.map(|(read, value)| format!("{read}={value}")).collect::<Vec<_>>(),
            })
        });
        results.collect()
    };
    let (rust, others) = LOADED.split_first().unwrap();
    let rust = said(&rust.1);
    for (language, policies) in others {
        assert_eq!(said(policies), rust, "{language}");
    }
}

#[test]
fn each_language_costs_the_same_fuel_each_time() {
    let fuel = |policies: &PolicyStore| -> Vec<u64> {
        report(policies).results().map(|result| result.evaluation().fuel()).collect()
    };
    for (language, policies) in LOADED.iter() {
        assert_eq!(fuel(policies), fuel(policies), "{language}");
    }
}

#[test]
fn each_imports_nothing_but_the_contract() {
    for (language, module) in MODULES.iter() {
        let module = Module::inspect(module).unwrap();
        let foreign = |name: &&String| !name.starts_with("ztlib:policy/");
        assert_eq!(module.imports.iter().find(foreign), None, "{language}");
        assert!(!module.imports.is_empty(), "{language}");
    }
}

#[test]
fn javascript_that_keeps_its_features_is_refused_by_the_name_of_an_import() {
    let Some(module) = big("javascript-with-features") else { return };
    let error = load("javascript-with-features", &module, &sample()).unwrap_err();
    assert_eq!(error.code(), "forbidden-import");
    assert!(error.to_string().contains("imports `wasi:"), "{error}");
}

#[test]
fn what_is_wrong_with_a_configuration_is_said_in_the_same_words() {
    let mut misspelt = sample();
    misspelt.as_object_mut().unwrap().insert("hour".to_owned(), json!("sat 10:00-12:00"));
    let misspelt = (misspelt, "unknown member `hour`; known are: hours, max-age, tenant-header, routes");
    let missing = (json!({"hours": "mon-fri 08:00-18:00"}), "the member `max-age` is missing");
    let small = [&misspelt, &missing];
    for (language, module) in MODULES.iter() {
        // To compile a big one takes seconds.
        let wrong: &[_] = if module.len() < 1 << 20 { &small } else { &small[..1] };
        for (config, text) in wrong {
            let error = load(language, module, config).unwrap_err();
            assert_eq!(error.code(), "configure-refused", "{language}");
            assert!(error.to_string().contains(text), "{language}: {error}");
        }
        if module.len() < 1 << 20 {
            let unconfigured =
                PolicySetBuilder::new().component("office-hours", module).reasons(REASONS).load();
            let error = unconfigured.unwrap_err();
            assert!(error.to_string().contains("the policy needs a configuration"), "{language}: {error}");
        }
    }
}

#[test]
fn a_wrong_value_in_a_configuration_is_refused_by_the_small_ones() {
    let with = |name: &str, value: Value| {
        let mut config = sample();
        config.as_object_mut().unwrap().insert(name.to_owned(), value);
        config
    };
    let wrong = [
        with("hours", json!("")),
        with("hours", json!(7)),
        with("hours", json!("mon-fri 8-18")),
        with("hours", json!("fri-mon 08:00-18:00")),
        with("hours", json!("mon 08:00-24:01")),
        with("hours", json!("mon 18:00-08:00")),
        with("hours", json!("mon, 08:00-18:00")),
        with("hours", json!("mon-fri-sat 08:00-18:00")),
        with("hours", json!("mon 08:00-18:00;")),
        with("hours", json!("always")),
        with("max-age", json!("900")),
        with("max-age", json!(-1)),
        with("max-age", json!(1.5)),
        with("max-age", json!(4_294_967_296_u64)),
        with("routes", json!(["/reports/{id}"])),
        with("routes", json!({"/reports/{id}": ["reader"]})),
        with("routes", json!({"/reports/{id}": null})),
        json!([]),
        json!("hours"),
    ];
    for (language, module) in MODULES.iter().filter(|(_, module)| module.len() < 1 << 20) {
        for config in &wrong {
            let error = load(language, module, config).map(|_| ()).unwrap_err();
            assert_eq!(error.code(), "configure-refused", "{language}: {config}: {error}");
        }
    }
}
