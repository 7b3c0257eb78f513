//! The table of reads says what the contract says: each function with its arguments and its value.

#![allow(clippy::panic, reason = "a test")]

const WIT: &str = include_str!("../wit/policy.wit");

macro_rules! signatures {
    ($($interface:ident { $($(#[$doc:meta])* $variant:ident $method:ident $function:literal
        $(( $($argument:ident : $kind:ident),+ ))? -> $value:ident,
        of $whose:ident $($flag:ident)*, about $about:ident $($name:expr)?
        $(, rather $rather:literal)?;)* })*) => {
        /// Interface, function, method, kinds of the arguments, value.
        const TABLE: &[(&str, &str, &str, &[&str], &str)] = &[
            $($((
                stringify!($interface),
                $function,
                stringify!($method),
                &[$($(stringify!($kind)),+)?],
                stringify!($value),
            ),)*)*
        ];
    };
}
ztlib_pattern::reads!(signatures);

/// How the contract writes a kind of argument or value.
fn spelled(kind: &str) -> &str {
    match kind {
        "text" => "string",
        "texts" => "list<string>",
        "yes" => "bool",
        "seconds" => "u32",
        "moment" => "u64",
        "number" => "s64",
        "maybe_text" => "option<string>",
        "maybe_number" => "option<s64>",
        "maybe_yes" => "option<bool>",
        other => panic!("what is {other}?"),
    }
}

#[test]
fn each_row_is_a_function_of_the_contract_and_each_function_a_row() {
    let mut interface = "";
    let mut contract = Vec::new();
    for line in WIT.lines() {
        if let Some(name) = line.strip_prefix("interface ") {
            interface = name.trim_end_matches(" {");
        }
        let Some((name, rest)) = line.trim().split_once(": func(") else { continue };
        if !matches!(interface, "request" | "principal" | "context") {
            continue;
        }
        let (arguments, value) = rest.trim_end_matches(';').split_once(')').unwrap();
        let types = arguments.split(", ").filter(|one| !one.is_empty());
        let types: Vec<&str> = types.map(|one| one.split_once(": ").unwrap().1).collect();
        let value = value.trim().trim_start_matches("-> ");
        contract.push(format!("{interface} {} {types:?} {value}", name.trim_start_matches('%')));
    }
    let mut table: Vec<String> = TABLE
        .iter()
        .map(|(interface, function, _, kinds, value)| {
            let types: Vec<&str> = kinds.iter().map(|kind| spelled(kind)).collect();
            format!("{interface} {function} {types:?} {}", spelled(value))
        })
        .collect();
    assert!(contract.len() > 40);
    contract.sort();
    table.sort();
    assert_eq!(table, contract);
    for (_, function, method, ..) in TABLE {
        assert_eq!(function.replace('-', "_"), *method);
    }
}
