//! The text of a manifest: a TOML file, read key by key. The module `policies` describes the
//! format.

use std::path::Path;
use std::time::Duration;

use serde_json::Value as Json;
use ztlib_contract::cases::{Table, Text, shown};

use super::blueprint::{Blueprint, MAX_PARTS, Place, PolicyPlan, PolicySource};
use super::case_files;
use super::config_file::ConfigFile;
use super::folder::Folder;
use super::json::Format;
use super::manifest::Manifest;
use super::named_file::{FileRole, NamedFile};
use crate::digest::Digest;
use crate::load_error::LoadError;
use ztlib_contract::Budget;

/// The largest document, in bytes.
const MAX_DOCUMENT_BYTES: usize = 16 << 20;

/// The maximum number of services that a set is for, and the longest name of one, in bytes.
const MAX_SERVICES: usize = 64;
const MAX_SERVICE_BYTES: usize = 128;

const TOP_KEYS: [&str; 8] =
    ["format", "version", "for", "policy", "document", "signals", "secret-headers", "tests"];
const POLICY_KEYS: [&str; 9] =
    ["name", "module", "sha256", "config", "config-sha256", "reasons", "may-abstain", "budget", "tests"];
const DOCUMENT_KEYS: [&str; 4] = ["name", "file", "sha256", "allow-unsigned"];
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

/// Parses a manifest and reads what it names. If it is `bound`, it must have a version, the
/// services that it is for, and all digests.
pub(crate) fn parse(
    path: &Path,
    bytes: &[u8],
    bound: bool,
    folder: &mut Folder,
) -> Result<Manifest, LoadError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| LoadError::new("file-not-utf8", "the manifest is not UTF-8 text").at(path, None))?;
    let text = Text::new(path, text);
    let parsed = text.parse()?;
    let top = text.table(&parsed, &TOP_KEYS)?;
    match top.integer("format")? {
        Some(1) => {}
        Some(_) => {
            return Err(top
                .error("format", "unknown-format", "this ztlib reads manifests of `format = 1`")
                .into());
        }
        None => return Err(top.missing("format", "write `format = 1` at the top").into()),
    }
    let version = top.integer("version")?;
    if bound && version.is_none() {
        let text = "a signed set needs a number that grows with every change: write `version = 1` at the top, and raise it each time you sign";
        return Err(top.missing("version", text).into());
    }
    let services = services(&top, bound)?;
    let mut blueprint = Blueprint::default();
    let (mut unsigned_documents, mut files) = (Vec::new(), Vec::new());
    // Checked before any of them is read.
    let documents = top.tables("document", &DOCUMENT_KEYS)?;
    let policies = top.tables("policy", &POLICY_KEYS)?;
    for (what, count) in [("policies", policies.len()), ("documents", documents.len())] {
        if count > MAX_PARTS {
            let text = format!("a set has at most {MAX_PARTS} {what}, but this one has {count}");
            let key = if what == "policies" { "policy" } else { "document" };
            return Err(top.error(key, "too-many-parts", text).into());
        }
    }
    for policy in policies {
        let plan = plan(&policy, bound, folder, &mut files)?;
        case_files::read(&policy, Some(&plan.name), folder, &mut blueprint.cases, &mut files)?;
        blueprint.policies.push(plan);
    }
    case_files::read(&top, None, folder, &mut blueprint.cases, &mut files)?;
    for document in documents {
        let name =
            document.required_text("name", "give the document a name: policies use it to look things up")?;
        let unsigned = document.boolean("allow-unsigned")?.unwrap_or(false);
        let (json, file) = read_document(&document, name, bound, unsigned, folder)?;
        files.push(file);
        if blueprint.documents.insert(name.into(), json.into()).is_some() {
            let text = format!("two documents are named `{}`: rename one", shown(name));
            return Err(document.error("name", "duplicate-name", text).into());
        }
        if bound && unsigned {
            unsigned_documents.push(name.into());
        }
    }
    blueprint.signals.extend(top.texts("signals")?.into_iter().map(Into::into));
    let secret = top.texts("secret-headers")?;
    blueprint.secret_headers.extend(secret.into_iter().map(|name| name.to_ascii_lowercase().into()));
    Ok(Manifest { blueprint, version, services, signed: None, unsigned_documents, files })
}

/// The services that a set is for. The signature tells who made a set, and this tells what for.
/// Otherwise, a set signed for one service would be good for every service that trusts the key.
fn services(top: &Table<'_>, bound: bool) -> Result<Vec<Box<str>>, LoadError> {
    let names = match top.text("for") {
        Ok(name) => name.into_iter().collect(),
        Err(_) => top.texts("for")?,
    };
    if names.is_empty() && bound {
        let text = "a signed set must name its service, as the service names itself with `service(…)`: write `for = \"shop-production\"` at the top";
        return Err(top.missing("for", text).into());
    }
    if names.len() > MAX_SERVICES || !names.iter().all(|name| is_service(name)) {
        let text = format!(
            "`for` has at most {MAX_SERVICES} names of services, each of 1 to {MAX_SERVICE_BYTES} visible ASCII characters"
        );
        return Err(top.error("for", "bad-service", text).into());
    }
    Ok(names.into_iter().map(Into::into).collect())
}

/// Whether a service can have this name.
pub(crate) fn is_service(name: &str) -> bool {
    (1..=MAX_SERVICE_BYTES).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

fn plan(
    table: &Table<'_>,
    bound: bool,
    folder: &mut Folder,
    files: &mut Vec<NamedFile>,
) -> Result<PolicyPlan, LoadError> {
    let name =
        table.required_text("name", "give the policy a name: it appears in denials and audit events")?;
    plan_of(name, table, bound, folder, files).map_err(|error| error.in_policy(&shown(name)))
}

fn plan_of(
    name: &str,
    table: &Table<'_>,
    bound: bool,
    folder: &mut Folder,
    files: &mut Vec<NamedFile>,
) -> Result<PolicyPlan, LoadError> {
    let budget = budget(table)?;
    let module = table.required_text("module", "name the component's file")?;
    let bytes = folder.read(module, budget.module_bytes).map_err(|error| {
        let error = match error.code() {
            "file-too-large" => {
                error.advising("if the policy needs more, raise `module-bytes` in its `budget`")
            }
            _ => error,
        };
        error.at_key(table, "module")
    })?;
    let digest =
        table.required_text("sha256", &format!("pin the module: `sha256 = \"{}\"`", Digest::of(&bytes)))?;
    check_digest(table, "sha256", module, &bytes, digest)?;
    let file = NamedFile::new(FileRole::Module, module, Some(name), &bytes, table.line("module"));
    files.push(file.bound_if(true));
    let mut plan = PolicyPlan::new(name, PolicySource::Component(bytes.into()));
    let config = table.text("config")?;
    let config_digest = table.text("config-sha256")?;
    if let Some(config) = config {
        let bytes = folder.read_text(config, budget.config_bytes.saturating_mul(2));
        let bytes = bytes.map_err(|error| error.at_key(table, "config"))?;
        check_bound(table, "config-sha256", bound, config, bytes.as_bytes())?;
        let line = table.line("config");
        let file = NamedFile::new(FileRole::Config, config, Some(name), bytes.as_bytes(), line);
        files.push(file.bound_if(config_digest.is_some()));
        plan.config = parse_json(table, "config", config, &bytes, folder)?.to_string().into_bytes().into();
        plan.config_file = Some(ConfigFile { file: folder.show(config).into(), text: bytes.into() });
    } else if config_digest.is_some() {
        return Err(table.missing("config", "`config-sha256` pins a file, but none is named").into());
    }
    plan.reasons.extend(table.texts("reasons")?.into_iter().map(Into::into));
    plan.may_abstain = table.boolean("may-abstain")?.unwrap_or(false);
    plan.budget = budget;
    plan.place = Some(Place { file: table.file().into(), line: table.line("name") });
    Ok(plan)
}

fn read_document(
    table: &Table<'_>,
    name: &str,
    bound: bool,
    unsigned: bool,
    folder: &mut Folder,
) -> Result<(Json, NamedFile), LoadError> {
    let file = table.required_text("file", "name the document's file (.json, .yaml or .toml)")?;
    let pinned = table.text("sha256")?.is_some();
    if unsigned && pinned {
        let text = "a document with a pinned digest is signed: remove `sha256` or `allow-unsigned`";
        return Err(table.error("allow-unsigned", "contradicting-keys", text).into());
    }
    let text = folder.read_text(file, MAX_DOCUMENT_BYTES).map_err(|error| error.at_key(table, "file"))?;
    check_bound(table, "sha256", bound && !unsigned, file, text.as_bytes())?;
    let named = NamedFile::new(FileRole::Document, file, Some(name), text.as_bytes(), table.line("file"));
    Ok((parse_json(table, "file", file, &text, folder)?, named.bound_if(pinned)))
}

/// A digest in the manifest must be right. If the manifest is bound, the digest must be there.
fn check_bound(table: &Table<'_>, key: &str, bound: bool, file: &str, bytes: &[u8]) -> Result<(), LoadError> {
    match table.text(key)? {
        Some(digest) => check_digest(table, key, file, bytes, digest),
        None if bound => {
            let advice = format!(
                "a signed set binds everything that it names: write `{key} = \"{}\"` if you vouch for `{}`",
                Digest::of(bytes),
                shown(file)
            );
            Err(table.missing(key, &advice).into())
        }
        None => Ok(()),
    }
}

fn check_digest(
    table: &Table<'_>,
    key: &str,
    file: &str,
    bytes: &[u8],
    expected: &str,
) -> Result<(), LoadError> {
    let Some(expected) = Digest::parse(expected) else {
        let text = "a SHA-256 digest is 64 hexadecimal digits (`sha256sum FILE`)";
        return Err(table.error(key, "bad-digest", text).into());
    };
    let actual = Digest::of(bytes);
    if actual == expected {
        return Ok(());
    }
    let text = format!(
        "`{}` has the SHA-256 digest {actual}, but the manifest expects {expected}: put the right file there, or, if you trust this one, pin its digest (`ztlib policy pin`)",
        shown(file)
    );
    Err(table.error(key, "digest-mismatch", text).into())
}

/// The content of a file as JSON. Mistakes are reported at their place in the file.
fn parse_json(
    table: &Table<'_>,
    key: &str,
    file: &str,
    text: &str,
    folder: &Folder,
) -> Result<Json, LoadError> {
    let Some(format) = Format::of(file) else {
        let text = format!("`{}` must end with .json, .yaml, .yml or .toml", shown(file));
        return Err(table.error(key, "unknown-format", text).into());
    };
    format.parse(text).map_err(|(message, line)| {
        LoadError::new("malformed-file", shown(&message)).at(&folder.show(file), line)
    })
}

/// The default budget with the changes of the manifest.
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
    budget.check().map_err(|error| LoadError::from(error).at_key(policy, "budget"))?;
    Ok(budget)
}
