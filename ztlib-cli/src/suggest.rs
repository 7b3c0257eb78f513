//! `policy suggest`: a first set of policies from what a service recorded.

use std::fs;
use std::path::Path;

use serde_json::json;
use ztlib::policies::cases::Draft;
use ztlib::policies::sha256;
use ztlib::policies::trial::{Recording, SuggestedPolicy, Suggestion, SuggestionRules};

use crate::Ended;
use crate::args::Suggest;
use crate::failure::{BROKEN, Failure, USAGE};
use crate::show::Desk;

/// A ready policy, and what is suggested for it.
struct Ready<'s> {
    name: &'static str,
    module: &'static [u8],
    reasons: &'static [&'static str],
    policy: &'s SuggestedPolicy,
}

pub(crate) fn run(suggest: &Suggest, desk: &mut Desk<'_>) -> Result<Ended, Failure> {
    let folder = &suggest.out;
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) || folder.is_file() {
        let text = format!("`{}` is there already: choose another folder", folder.display());
        return Err(Failure::new(BROKEN, "already-there", text));
    }
    let mut rules = SuggestionRules::new();
    if !suggest.role_claims.is_empty() {
        if let Some(bad) = suggest.role_claims.iter().find(|pointer| !pointer.starts_with('/')) {
            let text = format!("`{}` is not a JSON pointer: write `/realm_access/roles`", bad.escape_debug());
            return Err(Failure::new(USAGE, "bad-pointer", text));
        }
        rules = rules.role_claims(&suggest.role_claims);
    }
    if suggest.allow_denied {
        rules = rules.allow_denied();
    }
    let recording = Recording::read(&suggest.recorded)?;
    let suggestion =
        rules.suggest(&recording).map_err(|error| Failure::from(error).within(&suggest.recorded))?;
    // It is there whole, or not at all: what does not load is no suggestion.
    let unfinished = folder.with_added_extension(format!("unfinished-{}", std::process::id()));
    let made = write(&unfinished, &suggestion).and_then(|files| {
        let found = Draft::load(unfinished.join("policies.toml"))?.replay(&recording);
        // An empty folder may be there.
        let _ = fs::remove_dir(folder);
        fs::rename(&unfinished, folder)?;
        Ok((files, found))
    });
    let (files, found) = made.inspect_err(|_| drop(fs::remove_dir_all(&unfinished)))?;
    let files: Vec<String> = files.iter().map(|name| folder.join(name).display().to_string()).collect();
    if desk.json {
        let differences = serde_json::to_value(&found);
        let differences = differences.map_err(|error| Failure::new(BROKEN, "not-json", error.to_string()))?;
        desk.value(&json!({
            "files": files, "covered": suggestion.covered, "records": recording.len(),
            "notes": suggestion.notes, "replay": differences,
        }))?;
        return Ok(Ended::Well);
    }
    for file in &files {
        desk.line(file)?;
    }
    desk.line(&format!("{} of {} requests are allowed by it", suggestion.covered, recording.len()))?;
    for note in &suggestion.notes {
        desk.line(&format!("note: {note}"))?;
    }
    desk.line(&format!("against the recording: {found}"))?;
    desk.line(&format!(
        "next: read it, then ztlib policy test {0} && ztlib policy replay {0} --recorded {1}",
        folder.join("policies.toml").display(),
        suggest.recorded.display()
    ))?;
    Ok(Ended::Well)
}

fn write(folder: &Path, suggestion: &Suggestion) -> Result<Vec<String>, Failure> {
    let ready = [
        suggestion.peers.as_ref().map(|policy| Ready {
            name: "peer-allow-list",
            module: ztlib_policies::PEER_ALLOW_LIST,
            reasons: &ztlib_policies::PEER_ALLOW_LIST_REASONS,
            policy,
        }),
        suggestion.roles.as_ref().map(|policy| Ready {
            name: "rbac",
            module: ztlib_policies::RBAC,
            reasons: &ztlib_policies::RBAC_REASONS,
            policy,
        }),
        suggestion.scopes.as_ref().map(|policy| Ready {
            name: "token-scope",
            module: ztlib_policies::TOKEN_SCOPE,
            reasons: &ztlib_policies::TOKEN_SCOPE_REASONS,
            policy,
        }),
    ];
    let mut manifest = String::from(
        "# Suggested from recorded traffic: everything that was not seen is denied. Read each file before you enforce it.\nformat = 1\n",
    );
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for ready in ready.into_iter().flatten() {
        manifest.push_str(&format!(
            "\n[[policy]]\nname = \"{0}\"\nmodule = \"{0}.wasm\"\nsha256 = \"{1}\"\nconfig = \"{0}.yaml\"\nreasons = {2}\ntests = [\"tests/{0}.toml\"]\n",
            ready.name,
            sha256(ready.module),
            json!(ready.reasons)
        ));
        files.push((format!("{}.wasm", ready.name), ready.module.to_vec()));
        files.push((format!("{}.yaml", ready.name), ready.policy.config.as_bytes().to_vec()));
        files.push((format!("tests/{}.toml", ready.name), ready.policy.cases.as_bytes().to_vec()));
    }
    files.push(("policies.toml".to_owned(), manifest.into_bytes()));
    fs::create_dir_all(folder.join("tests"))?;
    let mut written = Vec::new();
    for (name, bytes) in files {
        fs::write(folder.join(&name), bytes)?;
        written.push(name);
    }
    Ok(written)
}
