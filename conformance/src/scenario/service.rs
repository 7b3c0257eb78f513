//! The services that are called, and the policies that guard them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::{ScenarioError, from_toml, read_text};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Services {
    #[serde(rename = "service")]
    pub(super) services: BTreeMap<String, Service>,
}

/// How a guard is built: one service author's choices.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Service {
    /// For the reader.
    pub about: String,
    /// The file of `policies/` that decides.
    pub policies: String,
    /// Whether callers present a certificate.
    #[serde(default)]
    pub peers: Proof,
    /// Whether callers present a token.
    #[serde(default)]
    pub tokens: Proof,
    /// By `observe_only`: nothing is refused.
    #[serde(default)]
    pub observe_only: bool,
    /// By `allow_public_route`.
    #[serde(default)]
    pub public_routes: Vec<String>,
    /// By `allow_encoded_slash`.
    #[serde(default)]
    pub encoded_slash_routes: Vec<String>,
    /// By `allow_path_spelling`.
    #[serde(default)]
    pub path_spellings: Vec<Spelling>,
}

/// A spelling of paths that passes by a verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(clippy::exhaustive_enums, reason = "a stack must tell all of them apart")]
pub enum Spelling {
    /// `%c3%a9`.
    LowercaseEscapes,
    /// `%7E`.
    NeedlessEscapes,
    /// `[`, `]` and `|`.
    RawBracketsAndBars,
}

/// Whether a proof is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(clippy::exhaustive_enums, reason = "a stack must tell all of them apart")]
pub enum Proof {
    /// It must be there, and good.
    #[default]
    Required,
    /// It may be missing; one that is there must be good.
    Optional,
    /// Nobody asks, and what is there means nothing.
    NotAsked,
}

/// A policy set: the policies in order, and the documents that they may read.
#[derive(Debug, Clone)]
pub struct PolicySet {
    /// In the order in which they are asked.
    pub policies: Vec<Policy>,
    /// By name.
    pub documents: BTreeMap<String, serde_json::Value>,
}

/// One policy of a set.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Its name in the set.
    pub name: String,
    /// Which policy it is: the name of its component's file without `.wasm`.
    pub kind: String,
    /// The component.
    pub component: Vec<u8>,
    /// It need not allow.
    pub may_abstain: bool,
    /// The reasons that it may give.
    pub reasons: Vec<String>,
    /// Its configuration; null where there is none.
    pub config: serde_json::Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SetFile {
    #[serde(rename = "policy")]
    policies: Vec<PolicyEntry>,
    #[serde(default, rename = "document")]
    documents: Vec<DocumentEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct PolicyEntry {
    name: String,
    module: String,
    #[serde(default)]
    may_abstain: bool,
    #[serde(default)]
    reasons: Vec<String>,
    config: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct DocumentEntry {
    name: String,
    file: String,
}

impl PolicySet {
    pub(super) fn read(path: &Path) -> Result<Self, ScenarioError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let file: SetFile = from_toml(path)?;
        let mut documents = BTreeMap::new();
        for document in file.documents {
            documents.insert(document.name, json(&folder.join(&document.file))?);
        }
        let read = |entry: PolicyEntry| {
            let component = folder.join(&entry.module);
            let bytes = std::fs::read(&component)
                .map_err(|error| ScenarioError(format!("{}: {error}", component.display())))?;
            Ok(Policy {
                kind: super::stem(&component),
                component: bytes,
                may_abstain: entry.may_abstain,
                reasons: entry.reasons,
                config: entry
                    .config
                    .map_or(Ok(serde_json::Value::Null), |config| json(&folder.join(config)))?,
                name: entry.name,
            })
        };
        Ok(Self {
            policies: file.policies.into_iter().map(read).collect::<Result<_, ScenarioError>>()?,
            documents,
        })
    }
}

fn json(path: &Path) -> Result<serde_json::Value, ScenarioError> {
    serde_json::from_str(&read_text(path)?)
        .map_err(|error| ScenarioError(format!("{}: {error}", path.display())))
}
