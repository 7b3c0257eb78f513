//! Scenarios: requests and what is to become of them, as data that every implementation is run
//! against.
//!
//! The format is described in `conformance/README.md`. A key that is not known is an error: a
//! misspelt expectation would otherwise be one that always holds.

mod case;
mod cast;
mod people;
mod service;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

pub use case::{Case, Decision, Exchange};
pub use cast::Cast;
pub use people::{AuthorityPlan, IssuerPlan, Key, Lifetime, PeerPlan, People, Signature, TokenPlan};
pub use service::{Policy, PolicySet, Proof, Service, Spelling};

/// Everything in a folder of scenarios, read and checked: each case names people, services and
/// policies that exist.
#[derive(Debug)]
pub struct Scenarios {
    /// Who may call, and with what.
    pub people: People,
    /// The services that are called.
    pub services: BTreeMap<String, Service>,
    /// The policy sets that they are guarded by, by file name.
    pub policies: BTreeMap<String, PolicySet>,
    /// The cases, file by file.
    pub cases: Vec<Case>,
}

/// Why scenarios cannot be read or played. The text says where and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioError(String);

impl ScenarioError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The same error, found in this place.
    pub(crate) fn within(self, place: &str) -> Self {
        Self(format!("{place}: {}", self.0))
    }

    /// For what another part of a test reports.
    pub(crate) fn because(what: &str, error: &dyn fmt::Display) -> Self {
        Self(format!("{what}: {error}"))
    }
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ScenarioError {}

impl From<String> for ScenarioError {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Scenarios {
    /// Reads `people.toml`, `services.toml`, `policies/*.toml` and `cases/*.toml` of a folder.
    ///
    /// # Errors
    /// A file that cannot be read or parsed, with its line; a key that is not known; a case that
    /// names somebody or something that does not exist, has the name of another case, or
    /// expects a refusal without a reason.
    pub fn read(folder: &Path) -> Result<Self, ScenarioError> {
        let people = from_toml::<People>(&folder.join("people.toml"))?;
        let services = from_toml::<service::Services>(&folder.join("services.toml"))?.services;
        let mut policies = BTreeMap::new();
        for path in toml_files(&folder.join("policies"))? {
            let set = PolicySet::read(&path)?;
            policies.insert(stem(&path), set);
        }
        let mut cases = Vec::new();
        for path in toml_files(&folder.join("cases"))? {
            let file = from_toml::<case::CaseFile>(&path)?;
            cases.extend(file.cases(&stem(&path))?);
        }
        let scenarios = Self { people, services, policies, cases };
        scenarios.check()?;
        Ok(scenarios)
    }

    /// The service that a case calls.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn service(&self, name: &str) -> Result<&Service, ScenarioError> {
        self.services.get(name).ok_or_else(|| unknown("service", name))
    }

    /// The policy set of this name.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn policy_set(&self, name: &str) -> Result<&PolicySet, ScenarioError> {
        self.policies.get(name).ok_or_else(|| unknown("policy set", name))
    }

    fn check(&self) -> Result<(), ScenarioError> {
        self.people.check()?;
        for (name, service) in &self.services {
            self.policy_set(&service.policies).map_err(|error| error.within(name))?;
        }
        let mut names = BTreeMap::new();
        for case in &self.cases {
            case.check(self).map_err(|error| error.within(&format!("{} “{}”", case.file, case.name)))?;
            if let Some(other) = names.insert(case.name.as_str(), &case.file) {
                return Err(ScenarioError(format!(
                    "“{}” is in {} and in {other}: names are unique",
                    case.name, case.file
                )));
            }
        }
        Ok(())
    }
}

pub(crate) fn unknown(what: &str, name: &str) -> ScenarioError {
    ScenarioError(format!("there is no {what} `{name}`"))
}

pub(crate) fn read_text(path: &Path) -> Result<String, ScenarioError> {
    std::fs::read_to_string(path).map_err(|error| ScenarioError(format!("{}: {error}", path.display())))
}

fn from_toml<T: DeserializeOwned>(path: &Path) -> Result<T, ScenarioError> {
    toml::from_str(&read_text(path)?).map_err(|error| ScenarioError(format!("{}: {error}", path.display())))
}

/// The `.toml` files of a folder, by name.
fn toml_files(folder: &Path) -> Result<Vec<PathBuf>, ScenarioError> {
    let unreadable = |error| ScenarioError(format!("{}: {error}", folder.display()));
    let entries = std::fs::read_dir(folder).map_err(unreadable)?;
    let paths: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut files: Vec<PathBuf> = paths
        .map_err(unreadable)?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    Ok(files)
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(cases: &str) -> String {
        match toml::from_str::<case::CaseFile>(cases) {
            Ok(file) => file.cases("here").err().map(|error| error.to_string()).unwrap_or_default(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_key_that_is_not_known_is_an_error() {
        let good = "about = ''\n[defaults]\nservice = 's'\npeer = 'p'\ntoken = 't'\n[[case]]\nname = 'n'\nrequest = 'GET /'\ndecision = 'allow'\n";
        assert_eq!(error_of(good), "");
        for (wrong, word) in
            [("raeson = 'no-role'", "raeson"), ("decison = 'deny'", "decison"), ("reason = 7", "string")]
        {
            assert!(
                error_of(&format!("{good}{wrong}\n")).contains(word),
                "{}",
                error_of(&format!("{good}{wrong}\n"))
            );
        }
        assert!(error_of(&good.replace("'allow'", "'permit'")).contains("permit"));
        assert!(error_of(&good.replace("peer = 'p'\n", "")).contains("give `peer`"));
        assert!(
            toml::from_str::<service::Services>(
                "[service.a]\nabout = ''\npolicies = 'p'\nobserve_only = true"
            )
            .is_err()
        );
    }

    #[test]
    fn a_refusal_without_a_reason_and_a_stranger_are_errors() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let scenarios = Scenarios::read(folder).unwrap();
        let check = |change: fn(&mut Case)| {
            let mut case = scenarios.cases[0].clone();
            change(&mut case);
            case.check(&scenarios).map_err(|error| error.to_string())
        };
        assert_eq!(check(|_| {}), Ok(()));
        assert!(check(|case| case.decision = Decision::Deny).unwrap_err().contains("`reason`"));
        assert!(check(|case| case.reason = Some("no-role".to_owned())).unwrap_err().contains("`reason`"));
        assert_eq!(check(|case| case.peer = "nemo".to_owned()).unwrap_err(), "there is no peer `nemo`");
        assert_eq!(check(|case| case.token = "nemo".to_owned()).unwrap_err(), "there is no token `nemo`");
        assert_eq!(check(|case| case.service = "nemo".to_owned()).unwrap_err(), "there is no service `nemo`");
        assert!(check(|case| case.call = Some("/a/b".to_owned())).unwrap_err().contains("either"));
    }
}
