//! `componentize OUT_DIR INPUT…`: makes a component of the contract from each core module.
//!
//! An input is a module that Rust built (`ztlib_rbac.wasm` becomes `rbac.wasm`) or a hand-written
//! one in the text format (`endless-loop.wat` becomes `endless-loop.wasm`; a first line
//! `;; world: NAME` names a world of `hostile/wit` instead of the contract's, and a text that
//! begins with `(component` is taken as it is). In these the contract is written as `@0.1.0`,
//! whichever version of that line `sdk/wit` is. What comes out holds no custom sections: the same
//! module gives the same bytes. A policy that has the SDK's arena becomes a component whose imports
//! are lowered [directly](direct), everything else what `wit-component` makes of it.

mod direct;

use std::error::Error;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use wasm_encoder::{ComponentSectionId, Encode as _, RawSection, Section as _};
use wasmparser::{Encoding, Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let out = arguments.next().ok_or("usage: componentize OUT_DIR INPUT…")?;
    fs::create_dir_all(&out)?;
    for input in arguments {
        let name = input.file_stem().and_then(OsStr::to_str).ok_or("an input has no name")?;
        let name = name.strip_prefix("ztlib_").unwrap_or(name).replace('_', "-");
        let component = componentize(&input).map_err(|error| format!("{}: {error}", input.display()))?;
        fs::write(out.join(name).with_extension("wasm"), component)?;
    }
    Ok(())
}

fn componentize(input: &Path) -> Result<Vec<u8>> {
    let module = if input.extension() == Some(OsStr::new("wat")) {
        let text = fs::read_to_string(input)?.replace("@0.1.0\"", &format!("{}\"", version()?));
        let text = text.replace("@0.1.0#", &format!("{}#", version()?));
        let binary = wat::parse_str(&text)?;
        if Parser::is_component(&binary) {
            return strip(&binary, true);
        }
        let world = text.lines().next().and_then(|line| line.strip_prefix(";; world: "));
        with_world(binary, world.unwrap_or("ztlib:policy/policy").trim())?
    } else {
        fs::read(input)?
    };
    // The encoder reads the contract from a custom section and leaves it out of what it makes.
    let module = strip(&module, false)?;
    let component =
        ComponentEncoder::default().debug_names(false).validate(true).module(&module)?.encode()?;
    let direct = if direct::pays(&component)? { direct::component(&module)? } else { None };
    strip(&direct.unwrap_or(component), true)
}

/// The version of the contract, as it stands behind the names of its interfaces: "@0.1.1".
fn version() -> Result<String> {
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/wit/policy.wit");
    let text = fs::read_to_string(contract)?;
    let line = text.lines().find_map(|line| line.strip_prefix("package ztlib:policy")?.strip_suffix(';'));
    Ok(line.ok_or("the contract names no version")?.to_owned())
}

/// Say in a module which world it is of, as wit-bindgen does for Rust.
fn with_world(mut module: Vec<u8>, world: &str) -> Result<Vec<u8>> {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut resolve = Resolve::default();
    resolve.push_dir(plugins.join("sdk/wit"))?;
    let (hostile, _) = resolve.push_dir(plugins.join("hostile/wit"))?;
    let contract = resolve
        .packages
        .iter()
        .find(|(_, package)| package.name.to_string().starts_with("ztlib:policy@"))
        .map(|(id, _)| id)
        .ok_or("the contract is not in sdk/wit")?;
    let world = match world.strip_prefix("ztlib:policy/") {
        Some(name) => resolve.select_world(&[contract], Some(name))?,
        None => resolve.select_world(&[hostile], Some(world))?,
    };
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    Ok(module)
}

/// A module or component without its custom sections (names, producers, target features), in all
/// its parts. The sections that describe the contract stay unless `all` is set.
fn strip(binary: &[u8], all: bool) -> Result<Vec<u8>> {
    let mut outer: Vec<Vec<u8>> = Vec::new();
    let mut current = Vec::new();
    for payload in Parser::new(0).parse_all(binary) {
        let payload = payload?;
        match payload {
            Payload::Version { encoding, .. } => current.extend_from_slice(match encoding {
                Encoding::Module => &wasm_encoder::Module::HEADER,
                Encoding::Component => &wasm_encoder::Component::HEADER,
            }),
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                outer.push(std::mem::take(&mut current))
            }
            Payload::End(_) => {
                let Some(mut parent) = outer.pop() else { break };
                let id = match Parser::is_component(&current) {
                    true => ComponentSectionId::Component,
                    false => ComponentSectionId::CoreModule,
                };
                parent.push(id.into());
                current.encode(&mut parent);
                current = parent;
            }
            Payload::CustomSection(ref section) if all || !section.name().starts_with("component-type") => {}
            other => {
                if let Some((id, range)) = other.as_section() {
                    let range = usize::try_from(range.start)?..usize::try_from(range.end)?;
                    let data = binary.get(range).ok_or("a section lies outside of the file")?;
                    RawSection { id, data }.append_to(&mut current);
                }
            }
        }
    }
    Ok(current)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn plugins() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    fn names(folder: &str, extension: &str) -> BTreeSet<String> {
        let files = fs::read_dir(plugins().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let files = files.filter(|path| path.extension() == Some(OsStr::new(extension)));
        files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn every_hostile_guest_is_described_and_committed_and_so_is_every_sum() {
        let table = fs::read_to_string(plugins().join("hostile/README.md")).unwrap();
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        assert_eq!(rows.map(str::to_owned).collect::<BTreeSet<_>>(), names("hostile", "wat"));
        let artifacts = names("artifacts", "wasm");
        assert!(artifacts.is_superset(&names("hostile", "wat")));
        let sums = fs::read_to_string(plugins().join("artifacts/SHA256SUMS")).unwrap();
        let summed = sums.lines().filter_map(|line| line.split_once("  ")?.1.strip_suffix(".wasm"));
        assert_eq!(summed.map(str::to_owned).collect::<BTreeSet<_>>(), artifacts);
    }

    #[test]
    fn an_artifact_holds_no_custom_sections_and_imports_nothing_but_the_contract() {
        for name in names("artifacts", "wasm") {
            let binary = fs::read(plugins().join("artifacts").join(&name).with_extension("wasm")).unwrap();
            let mut depth = 0;
            for payload in Parser::new(0).parse_all(&binary) {
                match payload.unwrap() {
                    Payload::CustomSection(section) => panic!("{name} has the section {}", section.name()),
                    Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                    Payload::End(_) => depth -= 1,
                    Payload::ComponentImportSection(imports) if depth == 0 => {
                        for import in imports {
                            let import = import.unwrap().name.name.to_owned();
                            let of_contract =
                                import.starts_with("ztlib:policy/") && import.ends_with(&version().unwrap());
                            let foreign = ["forbidden-import", "future-contract"].contains(&name.as_str());
                            assert!(of_contract || foreign, "{name} imports {import}");
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn a_policy_of_the_sdk_has_its_memory_in_a_module_of_its_own_and_no_table_between() {
        // `allow-all` and `deny-all` import nothing that takes a text. The last is of another tool
        // than the SDK.
        for (name, modules) in [
            ("rbac", 2),
            ("rbac-linear", 2),
            ("probe", 2),
            ("step-up", 2),
            ("office-hours-c", 2), // in C, with an arena of the same kind
            ("allow-all", 1),
            ("flip-flop", 3),
        ] {
            let binary = fs::read(plugins().join("artifacts").join(name).with_extension("wasm")).unwrap();
            let payloads = Parser::new(0).parse_all(&binary).map(|payload| payload.unwrap());
            let found = payloads.filter(|payload| matches!(payload, Payload::ModuleSection { .. })).count();
            assert_eq!(found, modules, "{name}");
        }
    }

    #[test]
    fn the_same_module_gives_the_same_component() {
        let guest = plugins().join("hostile/flip-flop.wat");
        let component = componentize(&guest).unwrap();
        assert_eq!(component, componentize(&guest).unwrap());
        assert_eq!(component, fs::read(plugins().join("artifacts/flip-flop.wasm")).unwrap());
    }

    #[test]
    fn what_is_no_policy_is_an_error() {
        let folder = std::env::temp_dir().join(format!("componentize-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in [("broken", "(module"), ("no-exports", "(module)")] {
            let file = folder.join(name).with_extension("wat");
            fs::write(&file, text).unwrap();
            assert!(componentize(&file).is_err(), "{name}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
