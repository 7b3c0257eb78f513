//! A core module, as the compiler makes it → a component of the contract, without names, producers or paths.

use std::error::Error;

use wasm_encoder::{ComponentSectionId, Encode as _, RawSection, Section as _};
use wasmparser::{Encoding, Parser, Payload};
use wit_component::ComponentEncoder;

/// Makes the component. The encoder reads the contract from the custom sections that the bindings left.
pub(crate) fn componentize(module: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let module = strip(module, false)?;
    let component =
        ComponentEncoder::default().debug_names(false).validate(true).module(&module)?.encode()?;
    strip(&component, true)
}

/// The same without custom sections, in all its parts. The sections that describe the contract stay unless `all` is set.
fn strip(binary: &[u8], all: bool) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut outer: Vec<Vec<u8>> = Vec::new();
    let mut current = Vec::new();
    for payload in Parser::new(0).parse_all(binary) {
        match payload? {
            Payload::Version { encoding, .. } => current.extend_from_slice(match encoding {
                Encoding::Module => &wasm_encoder::Module::HEADER,
                Encoding::Component => &wasm_encoder::Component::HEADER,
            }),
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                outer.push(std::mem::take(&mut current));
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
            Payload::CustomSection(section) if all || !section.name().starts_with("component-type") => {}
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
