//! A policy that is written by hand, as a component.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(missing_docs, unreachable_pub, reason = "a test")]

/// `FIELDS` are fields of its module, `OUTSIDE` those of the component, `DECIDE` is the body of
/// `decide`, which gives 0 to allow, 1 to deny, 2 to abstain.
const GUARD: &str = r#"(component
  (core module $m
    (memory (export "memory") 1)
    FIELDS
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
    (func (export "configure") (param i32 i32) (result i32) i32.const 0)
    (func (export "decide") (result i32) DECIDE))
  (core instance $i (instantiate $m))
  OUTSIDE
  (type $answer (enum "allow" "deny" "abstain"))
  (func $configure (param "config" (list u8)) (result (result (error string)))
    (canon lift (core func $i "configure") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (func $decide (result $answer) (canon lift (core func $i "decide")))
  (component $named
    (type $answer-type (enum "allow" "deny" "abstain"))
    (import "import-type-answer" (type $answer (eq $answer-type)))
    (import "import-func-configure"
      (func $configure (param "config" (list u8)) (result (result (error string)))))
    (import "import-func-decide" (func $decide (result $answer)))
    (export $exported "answer" (type $answer))
    (export "configure" (func $configure))
    (export "decide" (func $decide) (func (result $exported))))
  (instance $guard (instantiate $named
    (with "import-type-answer" (type $answer))
    (with "import-func-configure" (func $configure))
    (with "import-func-decide" (func $decide))))
  (export "ztlib:policy/guard@0.1.0" (instance $guard)))"#;

/// Its memory.
pub const ONE_PAGE: &str = r#"(memory (export "memory") 1)"#;

/// Its text.
pub fn text(fields: &str, decide: &str, outside: &str) -> String {
    GUARD.replace("FIELDS", fields).replace("DECIDE", decide).replace("OUTSIDE", outside)
}

pub fn guest(fields: &str, decide: &str) -> Vec<u8> {
    wat::parse_str(text(fields, decide, "")).unwrap()
}

pub fn guest_with(fields: &str, decide: &str, outside: &str) -> Vec<u8> {
    wat::parse_str(text(fields, decide, outside)).unwrap()
}
