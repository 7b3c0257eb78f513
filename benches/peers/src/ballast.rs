//! A policy as large as asked: it allows, and carries functions that nobody calls but that are
//! compiled like any others.

use std::fmt::Write as _;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::Failure;

/// The contract, as guests carry it.
const CONTRACT: &str = include_str!("../../../plugins/sdk/wit/policy.wit");

/// A component of at least this many bytes.
///
/// # Errors
/// It cannot be encoded.
pub fn component(bytes: usize) -> Result<Vec<u8>, Failure> {
    let mut functions = 64;
    loop {
        let component = with_functions(functions)?;
        if component.len() >= bytes {
            return Ok(component);
        }
        functions += 1 + functions * (bytes - component.len()) / component.len();
    }
}

fn with_functions(count: usize) -> Result<Vec<u8>, Failure> {
    let mut text = String::from(
        r#"(module
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 8192)
  (func (export "ztlib:policy/guard@0.1.2#configure") (param i32 i32) (result i32) i32.const 0)
  (func (export "ztlib:policy/guard@0.1.2#decide") (result i32) i32.const 0)
"#,
    );
    for n in 0..count {
        function(&mut text, n)?;
    }
    text.push(')');
    let mut module = wat::parse_str(&text)?;
    let mut resolve = Resolve::default();
    let package = resolve.push_str("policy.wit", CONTRACT)?;
    let world = resolve.select_world(&[package], Some("policy"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    Ok(ComponentEncoder::default().debug_names(false).validate(true).module(&module)?.encode()?)
}

/// A loop over memory with branches and calls: what compiled policies are full of.
fn function(text: &mut String, n: usize) -> Result<(), Failure> {
    writeln!(
        text,
        "  (func $f{n} (param $from i32) (param $to i32) (result i64) (local $sum i64) (local $at i32)"
    )?;
    writeln!(text, "    (local.set $at (local.get $from))")?;
    writeln!(text, "    (block $done (loop $next")?;
    writeln!(text, "      (br_if $done (i32.ge_u (local.get $at) (local.get $to)))")?;
    for step in 0..6 {
        let (offset, mask) = (step * 8, (n * 31 + step * 7) % 1000);
        writeln!(text, "      (if (i32.and (i32.load offset={offset} (local.get $at)) (i32.const {mask}))")?;
        writeln!(
            text,
            "        (then (local.set $sum (i64.add (local.get $sum) (i64.load offset={offset} (local.get $at)))))"
        )?;
        writeln!(
            text,
            "        (else (local.set $sum (i64.xor (i64.mul (local.get $sum) (i64.const {mask})) (i64.extend_i32_u (local.get $at))))))"
        )?;
    }
    if n > 0 {
        writeln!(
            text,
            "      (local.set $sum (i64.add (local.get $sum) (call $f{} (local.get $at) (i32.const 64))))",
            n - 1
        )?;
    }
    writeln!(text, "      (i64.store (local.get $at) (local.get $sum))")?;
    writeln!(text, "      (local.set $at (i32.add (local.get $at) (i32.const 48)))")?;
    writeln!(text, "      (br $next)))")?;
    writeln!(text, "    (local.get $sum))")?;
    Ok(())
}
