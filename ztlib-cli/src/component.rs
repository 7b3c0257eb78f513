//! A core module, as the compiler makes it → a component of the contract, without names, producers
//! or paths.

use std::error::Error;

use wasm_encoder::{ComponentSectionId, Encode as _, RawSection, Section as _};
use wasmparser::{Encoding, Parser, Payload};
use wit_component::ComponentEncoder;
use ztlib::policies::{Budget, LoadError, Module};

/// Makes the component. The encoder reads the contract from the custom sections that the bindings
/// left.
///
/// A few bytes can stand for much: the module is weighed before anything is made of it, by what the
/// largest budget allows.
pub(crate) fn componentize(module: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    weigh(module)?;
    let module = strip(module, false)?;
    let component =
        ComponentEncoder::default().debug_names(false).validate(true).module(&module)?.encode()?;
    let component = strip(&component, true)?;
    Module::check(&component, &Budget::maximum()).map_err(LoadError::from)?;
    Ok(component)
}

/// Weighs a core module as loading weighs the ones that a component holds.
fn weigh(module: &[u8]) -> Result<(), LoadError> {
    let mut holding = wasm_encoder::Component::HEADER.to_vec();
    holding.push(ComponentSectionId::CoreModule.into());
    module.encode(&mut holding);
    Ok(Module::check(&holding, &Budget::maximum())?)
}

/// The same without custom sections, in all its parts. The sections that describe the contract stay
/// unless `all` is set.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A function that calls one with a thousand results and drops nothing: two bytes a call.
    #[test]
    fn a_module_that_costs_too_much_is_refused_before_anything_is_made_of_it() {
        use wasm_encoder::{
            CodeSection, Function, FunctionSection, Instruction, Module, TypeSection, ValType,
        };
        let mut types = TypeSection::new();
        types.ty().function([], [ValType::I32; 1000]);
        types.ty().function([], []);
        let mut functions = FunctionSection::new();
        functions.function(0).function(1);
        let (mut body, mut caller) = (Function::new([]), Function::new([]));
        body.instruction(&Instruction::Unreachable).instruction(&Instruction::End);
        for _ in 0..1000 {
            caller.instruction(&Instruction::Call(0));
        }
        caller.instruction(&Instruction::Unreachable).instruction(&Instruction::End);
        let mut code = CodeSection::new();
        code.function(&body).function(&caller);
        let mut module = Module::new();
        module.section(&types).section(&functions).section(&code);
        let error = componentize(&module.finish()).unwrap_err().to_string();
        assert!(error.contains("too-many-values"), "{error}");
        // What is not a module at all.
        assert!(componentize(b"PK").is_err());
    }
}
