//! `c-bindings OUT_DIR`: writes the contract down in C.
//!
//! `policy.h` declares what a policy may call and what it defines; `policy.c` is what lies between
//! that and WebAssembly; the object file `policy_component_type.o` carries the contract itself into
//! the module, for what makes a component of it.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use wit_bindgen_c::Opts;
use wit_bindgen_core::Files;
use wit_parser::Resolve;

fn main() -> Result<(), Box<dyn Error>> {
    let out = std::env::args_os().nth(1).map(PathBuf::from).ok_or("usage: c-bindings OUT_DIR")?;
    fs::create_dir_all(&out)?;
    for (name, contents) in bindings()?.iter() {
        fs::write(out.join(name), contents)?;
    }
    Ok(())
}

fn bindings() -> Result<Files, Box<dyn Error>> {
    let mut resolve = Resolve::default();
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../sdk/wit");
    let (package, _) = resolve.push_dir(contract)?;
    let world = resolve.select_world(&[package], Some("policy"))?;
    let mut files = Files::default();
    Opts::default().build().generate(&mut resolve, world, &mut files)?;
    Ok(files)
}
