//! `componentize OUT_DIR INPUT…`: makes a component of the contract from each core module.
//!
//! An input is a module that Rust built (`ztlib_rbac.wasm` becomes `rbac.wasm`) or a hand-written one in the text format
//! (`endless-loop.wat` becomes `endless-loop.wasm`; a first line `;; world: NAME` names a world of
//! `hostile/wit` instead of the contract's, and a text that begins with `(component` is taken as it is). What
//! comes out holds no custom sections: the same module gives the same bytes.

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
        let text = fs::read_to_string(input)?;
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
    strip(&component, true)
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

/// A module or component without its custom sections (names, producers, target features), in all its parts. The
/// sections that describe the contract stay unless `all` is set.
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
