//! A set must pass its own cases before it comes into force.

use ztlib_contract::cases::{Cases, shown};

use super::simulate;
use crate::authorize::PolicySet;
use crate::load_error::LoadError;

/// After this many failures the remaining cases are not run: each may take as long as a policy's
/// wall-clock limit.
const MOST_FAILURES: usize = 8;

/// Runs the cases named by the manifest.
///
/// # Errors
/// `cases-failed`, at the line of the first case with another answer.
pub(crate) fn gate(set: &PolicySet, suites: &[Cases]) -> Result<(), LoadError> {
    let report = simulate(set, suites, MOST_FAILURES)?;
    let Some(first) = report.failures().next() else { return Ok(()) };
    let failed = report.len().saturating_sub(report.passed());
    let more = match failed.saturating_sub(1) {
        0 => String::new(),
        _ if failed >= MOST_FAILURES => {
            format!(" (and at least {} more cases fail)", failed.saturating_sub(1))
        }
        more => format!(" (and {more} more cases fail)"),
    };
    let case = shown(first.case());
    let text = format!("the case `{case}` fails: {}{more}", first.text());
    Err(LoadError::new("cases-failed", text).at(first.file(), Some(first.line())))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use crate::digest::Digest;
    use crate::policies::PolicyStore;

    struct Set(PathBuf);

    impl Set {
        /// The policy `token-scope` for GET /orders/{id}, with cases of its own and for the set.
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("ztlib-cases-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(folder.join("tests")).unwrap();
            let bytes = include_bytes!("../../../../plugins/artifacts/token-scope.wasm");
            fs::write(folder.join("p.wasm"), bytes).unwrap();
            let digest = Digest::of(bytes);
            let manifest = format!(
                "format = 1\ntests = ['tests/set.toml']\n[[policy]]\nname = 'scope'\nmodule = 'p.wasm'\nsha256 = '{digest}'\nconfig = 'p.json'\nreasons = ['no-rule', 'missing-scope']\ntests = ['tests/scope-*.toml']\n"
            );
            fs::write(folder.join("policies.toml"), manifest).unwrap();
            let set = Self(folder);
            set.scope("orders:read");
            set.case("tests/set.toml", "orders:read");
            set.case("tests/scope-a.toml", "orders:read");
            set
        }

        /// Sets the scope that the policy requires.
        fn scope(&self, scope: &str) {
            let config = format!(
                r#"{{"rules": [{{"methods": ["*"], "routes": ["/orders/{{id}}"], "scopes": ["{scope}"]}}]}}"#
            );
            fs::write(self.0.join("p.json"), config).unwrap();
        }

        /// A caller with this scope may pass, one with another scope may not.
        fn case(&self, file: &str, scope: &str) {
            let text = format!(
                "format = 1\n[[case]]\nname = 'may'\npath = '/orders/7'\nroute = '/orders/{{id}}'\nclaims = {{ scope = '{scope}' }}\nexpect = 'allow'\n\n[[case]]\nname = 'may not'\npath = '/orders/7'\nroute = '/orders/{{id}}'\nclaims = {{ scope = 'other' }}\nexpect = 'deny'\nreason = 'missing-scope'\n"
            );
            fs::write(self.0.join(file), text).unwrap();
        }

        fn load(&self) -> Result<PolicyStore, crate::load_error::LoadError> {
            PolicyStore::from_manifest(self.0.join("policies.toml")).allow_unsigned().load()
        }
    }

    impl Drop for Set {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_set_that_fails_its_own_cases_is_refused_and_the_last_good_stays() {
        let set = Set::new("gate");
        let policies = set.load().unwrap();
        let good = policies.status().revision;
        set.scope("orders:write");
        let error = policies.reload().unwrap_err();
        assert_eq!(error.code(), "cases-failed");
        // The policy's own cases run first, then the set's. The line is that of `expect`.
        assert!(error.file().unwrap().ends_with("tests/scope-a.toml"), "{error}");
        assert_eq!(error.line(), Some(7));
        assert!(
            error
                .to_string()
                .contains("expected allow, got deny `missing-scope` by `scope` (and 1 more cases fail)"),
            "{error}"
        );
        assert_eq!(policies.status().revision, good);
        assert_eq!(policies.status().last_error.unwrap().0.code(), "cases-failed");
        assert_eq!(set.load().unwrap_err().code(), "cases-failed", "nor can it be the first revision");
        set.case("tests/scope-a.toml", "orders:write");
        set.case("tests/set.toml", "orders:write");
        assert_ne!(policies.reload().unwrap(), good);
        assert!(policies.status().last_error.is_none());
    }

    #[test]
    fn one_more_file_of_cases_is_noticed_by_whoever_watches() {
        let set = Set::new("watch");
        let policies = set.load().unwrap();
        policies.watch().unwrap();
        set.case("tests/scope-b.toml", "nobody:has-this");
        let timeout = std::time::Duration::from_secs(20);
        assert!(policies.wait_until(timeout, |status| {
            status.last_error.as_ref().is_some_and(|(error, _)| error.code() == "cases-failed")
        }));
    }

    #[test]
    fn cases_are_no_part_of_the_revision() {
        let set = Set::new("revision");
        let policies = set.load().unwrap();
        let before = policies.status().revision;
        fs::copy(set.0.join("tests/scope-a.toml"), set.0.join("tests/scope-b.toml")).unwrap();
        assert_eq!(policies.reload().unwrap(), before);
    }

    #[test]
    fn patterns_that_name_nothing_or_leave_the_folder_are_errors_at_their_line() {
        for (pattern, code) in [
            ("tests/none-*.toml", "file-not-found"),
            ("tests/none.toml", "file-not-found"),
            ("nowhere/*.toml", "file-not-found"),
            ("../*.toml", "bad-pattern"),
            ("/etc/*.toml", "bad-pattern"),
            ("*/a.toml", "bad-pattern"),
            ("tests/*a*.toml", "bad-pattern"),
            ("../a.toml", "path-leaves-folder"),
        ] {
            let set = Set::new("pattern");
            let manifest = set.0.join("policies.toml");
            let text = fs::read_to_string(&manifest).unwrap().replace("tests/set.toml", pattern);
            fs::write(&manifest, text).unwrap();
            let error = set.load().unwrap_err();
            assert_eq!((error.code(), error.line()), (code, Some(2)), "{pattern}: {error}");
        }
    }
}
