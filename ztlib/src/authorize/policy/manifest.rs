//! The manifest: a TOML file that names what a set is made of. Its format is described with the module `policy`.

use std::path::Path;
use std::time::Duration;

use serde_json::Value as Json;

use super::blueprint::{Blueprint, Place, PolicyPlan, PolicySource};
use super::digest::Digest;
use super::error::shown;
use super::folder::Folder;
use super::json::Format;
use super::toml_table::{Table, Text};
use super::{Budget, LoadError, cases};

/// The largest manifest, in bytes.
pub(super) const MAX_MANIFEST_BYTES: usize = 256 << 10;
/// The largest document, in bytes.
const MAX_DOCUMENT_BYTES: usize = 16 << 20;

const TOP_KEYS: [&str; 6] = ["format", "policy", "document", "signals", "secret-headers", "tests"];
const POLICY_KEYS: [&str; 8] =
    ["name", "module", "sha256", "config", "reasons", "may-abstain", "budget", "tests"];
const DOCUMENT_KEYS: [&str; 3] = ["name", "file", "sha256"];
const BUDGET_KEYS: [&str; 19] = [
    "fuel",
    "config-fuel",
    "memory-bytes",
    "table-elements",
    "wall-clock-ms",
    "argument-bytes",
    "reads",
    "read-bytes",
    "message-bytes",
    "headers",
    "header-value-bytes",
    "log-bytes",
    "module-bytes",
    "functions",
    "function-bytes",
    "config-bytes",
    "constants",
    "constant-bytes",
    "constant-key-bytes",
];

/// Reads a manifest and all that it names.
pub(crate) fn read(path: &Path, folder: &mut Folder) -> Result<Blueprint, LoadError> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let text = folder.read_text(name, MAX_MANIFEST_BYTES)?;
    let text = Text { file: path, text: &text };
    let parsed = text.parse()?;
    let top = text.table(&parsed, &TOP_KEYS)?;
    match top.integer("format")? {
        Some(1) => {}
        Some(_) => {
            return Err(top.error("format", "unknown-format", "this ztlib reads manifests of `format = 1`"));
        }
        None => return Err(top.missing("format", "write `format = 1` at the top")),
    }
    let mut blueprint = Blueprint::default();
    for policy in top.tables("policy", &POLICY_KEYS)? {
        let plan = plan(&policy, folder)?;
        cases::read_named(&policy, Some(&plan.name), folder, &mut blueprint.cases)?;
        blueprint.policies.push(plan);
    }
    cases::read_named(&top, None, folder, &mut blueprint.cases)?;
    for document in top.tables("document", &DOCUMENT_KEYS)? {
        let name = document
            .required_text("name", "give the document the name by which policies look things up in it")?;
        let json = read_document(&document, folder)?;
        if blueprint.documents.insert(name.into(), json.into()).is_some() {
            let text = format!("there are two documents `{}`", shown(name));
            return Err(document.error("name", "duplicate-name", &text));
        }
    }
    blueprint.signals.extend(top.texts("signals")?.into_iter().map(Into::into));
    let secret = top.texts("secret-headers")?;
    blueprint.secret_headers.extend(secret.into_iter().map(|name| name.to_ascii_lowercase().into()));
    Ok(blueprint)
}

fn plan(table: &Table<'_>, folder: &mut Folder) -> Result<PolicyPlan, LoadError> {
    let name =
        table.required_text("name", "give the policy a name: it stands in denials and audit events")?;
    let within = |error: LoadError| error.in_policy(&shown(name));
    let budget = budget(table).map_err(within)?;
    let module = table.required_text("module", "name the component's file").map_err(within)?;
    let bytes =
        folder.read(module, budget.module_bytes).map_err(|error| within(table.place(error, "module")))?;
    let digest =
        table.required_text("sha256", &format!("pin the module: `sha256 = \"{}\"`", Digest::of(&bytes)));
    check_digest(table, module, &bytes, digest.map_err(within)?).map_err(within)?;
    let mut plan = PolicyPlan::new(name, PolicySource::Component(bytes.into()));
    if let Some(config) = table.text("config").map_err(within)? {
        let bytes = folder.read_text(config, budget.config_bytes.saturating_mul(2));
        let bytes = bytes.map_err(|error| within(table.place(error, "config")))?;
        plan.config =
            parse(table, "config", config, &bytes, folder).map_err(within)?.to_string().into_bytes().into();
    }
    plan.reasons.extend(table.texts("reasons").map_err(within)?.into_iter().map(Into::into));
    plan.may_abstain = table.boolean("may-abstain").map_err(within)?.unwrap_or(false);
    plan.budget = budget;
    plan.place = Some(Place { file: table.file().into(), line: table.line("name") });
    Ok(plan)
}

fn read_document(table: &Table<'_>, folder: &mut Folder) -> Result<Json, LoadError> {
    let file = table.required_text("file", "name the document's file (.json, .yaml or .toml)")?;
    let text = folder.read_text(file, MAX_DOCUMENT_BYTES).map_err(|error| table.place(error, "file"))?;
    if let Some(digest) = table.text("sha256")? {
        check_digest(table, file, text.as_bytes(), digest)?;
    }
    parse(table, "file", file, &text, folder)
}

fn check_digest(table: &Table<'_>, file: &str, bytes: &[u8], expected: &str) -> Result<(), LoadError> {
    let Some(expected) = Digest::parse(expected) else {
        return Err(table.error(
            "sha256",
            "bad-digest",
            "a SHA-256 digest is 64 hexadecimal digits (`sha256sum FILE`)",
        ));
    };
    let actual = Digest::of(bytes);
    if actual == expected {
        return Ok(());
    }
    let text = format!(
        "`{}` has the SHA-256 digest {actual}, the manifest expects {expected}: put the right file there, or, if you trust this one, pin its digest",
        shown(file)
    );
    Err(table.error("sha256", "digest-mismatch", &text))
}

/// A file's contents as JSON. Mistakes are reported in the file itself.
fn parse(table: &Table<'_>, key: &str, file: &str, text: &str, folder: &Folder) -> Result<Json, LoadError> {
    let Some(format) = Format::of(file) else {
        let text = format!("`{}` ends with none of .json, .yaml, .yml and .toml", shown(file));
        return Err(table.error(key, "unknown-format", &text));
    };
    format.parse(text).map_err(|(message, line)| {
        LoadError::new("malformed-file", shown(&message)).at(&folder.show(file), line)
    })
}

/// The default budget with what the manifest says otherwise.
fn budget(policy: &Table<'_>) -> Result<Budget, LoadError> {
    let mut budget = Budget::default();
    let Some(table) = policy.table("budget", &BUDGET_KEYS)? else { return Ok(budget) };
    let size = |key: &str, to: &mut usize| match table.integer(key)? {
        None => Ok(()),
        Some(number) => usize::try_from(number)
            .map(|number| *to = number)
            .map_err(|_| table.error(key, "budget-too-large", "the number is too large")),
    };
    let small = |key: &str, to: &mut u32| match table.integer(key)? {
        None => Ok(()),
        Some(number) => u32::try_from(number)
            .map(|number| *to = number)
            .map_err(|_| table.error(key, "budget-too-large", "the number is too large")),
    };
    budget.fuel = table.integer("fuel")?.unwrap_or(budget.fuel);
    budget.config_fuel = table.integer("config-fuel")?.unwrap_or(budget.config_fuel);
    budget.wall_clock = table.integer("wall-clock-ms")?.map_or(budget.wall_clock, Duration::from_millis);
    size("memory-bytes", &mut budget.memory_bytes)?;
    size("table-elements", &mut budget.table_elements)?;
    size("argument-bytes", &mut budget.argument_bytes)?;
    small("reads", &mut budget.reads.calls)?;
    size("read-bytes", &mut budget.reads.bytes)?;
    size("message-bytes", &mut budget.outcome.message_bytes)?;
    size("headers", &mut budget.outcome.headers)?;
    size("header-value-bytes", &mut budget.outcome.header_value_bytes)?;
    size("log-bytes", &mut budget.outcome.log_bytes)?;
    size("module-bytes", &mut budget.module_bytes)?;
    small("functions", &mut budget.functions)?;
    size("function-bytes", &mut budget.function_bytes)?;
    size("config-bytes", &mut budget.config_bytes)?;
    size("constants", &mut budget.constants)?;
    size("constant-bytes", &mut budget.constant_bytes)?;
    size("constant-key-bytes", &mut budget.constant_key_bytes)?;
    budget.check().map_err(|error| policy.place(error, "budget"))?;
    Ok(budget)
}
