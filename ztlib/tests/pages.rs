//! What the pages give to paste is well-formed, and names what is there.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    reason = "a test says what it shows by its name, and fails by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

/// The folder of pages; none where this crate was taken out of its repository.
fn docs() -> Option<PathBuf> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    if docs.is_dir() {
        return Some(docs);
    }
    eprintln!("skipped: the pages of the repository are not beside this crate");
    None
}

fn yaml(text: &str) -> Json {
    serde_norway::from_str(text).unwrap()
}

/// The blocks of a page that are in this language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).map(|rest| rest.split("\n```").next().unwrap().to_owned()).collect()
}

/// Every name in the text that looks like a metric of ours, without what a histogram appends.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
    let names = text.match_indices("ztlib_").map(|(at, _)| {
        let rest = &text[at..];
        &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())]
    });
    names.map(|name| name.trim_end_matches("_bucket").to_owned()).collect()
}

#[test]
fn alerts_and_dashboard_name_metrics_that_there_are() {
    let Some(docs) = docs() else { return };
    let read = |name: &str| fs::read_to_string(docs.join(name)).unwrap();
    let known = metrics_in(&read("operations.md"));
    assert!(known.contains("ztlib_judgements_total") && known.len() > 14, "{known:?}");

    let alerts = read("observability/alerts.yml");
    let rules = yaml(&alerts)["groups"][0]["rules"].clone();
    let rules = rules.as_array().unwrap();
    for rule in rules {
        let used = metrics_in(rule["expr"].as_str().unwrap());
        assert!(!used.is_empty() && used.is_subset(&known), "{}: {used:?}", rule["alert"]);
        for key in ["summary", "description"] {
            assert!(rule["annotations"][key].is_string(), "{}: {key}", rule["alert"]);
        }
    }
    assert_eq!(rules.len(), 7);

    let dashboard: Json = serde_json::from_str(&read("observability/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    for target in panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()) {
        let used = metrics_in(target["expr"].as_str().unwrap());
        assert!(!used.is_empty() && used.is_subset(&known), "{used:?}");
    }
    assert!(panels.len() > 8);
}

#[test]
fn the_pages_give_yaml_that_can_be_read() {
    let Some(docs) = docs() else { return };
    let page = fs::read_to_string(docs.join("observability.md")).unwrap();
    let given: Vec<Json> = blocks(&page, "yaml").iter().map(|text| yaml(text)).collect();
    assert_eq!(given[0]["filebeat.inputs"][0]["type"], "filestream");
    assert_eq!(given[1]["service"]["pipelines"]["logs"]["receivers"][0], "filelog");

    let page = fs::read_to_string(docs.join("kubernetes.md")).unwrap();
    let pod = yaml(&blocks(&page, "yaml")[0])["spec"]["template"]["spec"].clone();
    // The drain ends before the grace period does; docs/connections.md says 20 of 30 seconds.
    assert_eq!(pod["terminationGracePeriodSeconds"], 30);
    let connections = fs::read_to_string(docs.join("connections.md")).unwrap();
    assert!(connections.contains("`shutdown_limit` takes 20 of them unless it is set"));
    // The probes are those that the page on running it serves.
    let operations = fs::read_to_string(docs.join("operations.md")).unwrap();
    let container = &pod["containers"][0];
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let path = container[probe]["httpGet"]["path"].as_str().unwrap();
        assert!(operations.contains(&format!("\"{path}\"")), "{path} is served by no example");
    }
    assert!(operations.contains("\"0.0.0.0:8080\"") && operations.contains("\"0.0.0.0:8443\""));
    let mounts = container["volumeMounts"].as_array().unwrap();
    let volumes = pod["volumes"].as_array().unwrap();
    for mount in mounts {
        assert!(volumes.iter().any(|volume| volume["name"] == mount["name"]), "{mount}");
    }
}

/// Every link of a page to another page of the repository leads somewhere.
#[test]
fn links_between_pages_lead_somewhere() {
    let Some(docs) = docs() else { return };
    let mut pages: Vec<PathBuf> = fs::read_dir(&docs).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.extend(
        ["README.md", "SECURITY.md", "CONTRIBUTING.md", "ARCHITECTURE.md"]
            .map(|name| docs.join("..").join(name)),
    );
    let mut broken = Vec::new();
    for page in pages.iter().filter(|page| page.extension().is_some_and(|ending| ending == "md")) {
        let text = fs::read_to_string(page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap();
            if file.is_empty() || file.contains("://") || file.contains(' ') {
                continue;
            }
            if !page.parent().unwrap().join(file).exists() {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
