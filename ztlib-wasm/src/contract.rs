//! The contract's host side: one function of `wit/policy.wit` a line, and nothing else that a
//! policy could call.
//!
//! By hand rather than by `bindgen!`: arguments are checked and counted before they are copied, and
//! each call copies a text once.

use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentNamedList, Linker, LinkerInstance, Lower, WasmList, WasmStr};

use super::evaluate::State;
use super::stop::Stop;
use ztlib_contract::{Outcome, OutcomeFault, Read, ReadFault, Value};

/// The interfaces that a policy may import, without version.
pub(crate) const IMPORTS: [&str; 5] = [
    "ztlib:policy/request",
    "ztlib:policy/principal",
    "ztlib:policy/context",
    "ztlib:policy/outcome",
    "ztlib:policy/constants",
];
/// The interface that a policy exports, without version.
pub(crate) const EXPORT: &str = "ztlib:policy/guard";
/// The version that this host speaks. A policy of an older one of the same line runs too.
const VERSION: &str = "0.1.2";

/// What a host call costs before its arguments are looked at.
const CALL_FUEL: u64 = 200;

/// Whether a versioned name is of the line of versions that this host speaks: `name@0.1.x`.
pub(crate) fn is_spoken(name: &str, interface: &str) -> bool {
    let patch = name.strip_prefix(interface).and_then(|rest| rest.strip_prefix("@0.1."));
    patch.is_some_and(|patch| (1..=9).contains(&patch.len()) && patch.bytes().all(|b| b.is_ascii_digit()))
}

/// Offers the whole contract to policies.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let [request, principal, context, outcome, constants] = IMPORTS.map(|name| format!("{name}@{VERSION}"));

    links::request(&mut linker.instance(&request)?, Values::Plain)?;
    links::principal(&mut linker.instance(&principal)?, Values::Plain)?;
    links::context(&mut linker.instance(&context)?, Values::Plain)?;
    for version in ["0.1.0", "0.1.1"] {
        let [_, _, context, ..] = IMPORTS;
        links::context(&mut linker.instance(&format!("{context}@{version}"))?, Values::Templates)?;
    }

    let to = &mut linker.instance(&outcome)?;
    say_text(to, "reason", Outcome::reason)?;
    say_text(to, "message", Outcome::message)?;
    to.func_wrap(
        "challenge-step-up",
        |store: StoreContextMut<'_, State>, (acr, max_age): (Option<WasmStr>, Option<u32>)| {
            let acr = acr.map(|acr| text(&store, &acr)).transpose()?;
            let bytes = acr.as_ref().map_or(0, |acr| acr.len());
            say(store, "challenge-step-up", bytes, |outcome| {
                outcome.challenge_step_up(acr.as_deref(), max_age)
            })
        },
    )?;
    say_two_texts(to, "set-request-header", Outcome::set_request_header)?;
    say_text(to, "remove-request-header", Outcome::remove_request_header)?;
    say_two_texts(to, "set-response-header", Outcome::set_response_header)?;
    say_two_texts(to, "copy-to-request-header", Outcome::copy_to_request_header)?;
    say_two_texts(to, "copy-to-request-header-or-remove", Outcome::copy_to_request_header_or_remove)?;
    say_two_texts(to, "copy-to-response-header", Outcome::copy_to_response_header)?;
    say_two_texts(to, "copy-to-response-header-or-remove", Outcome::copy_to_response_header_or_remove)?;
    say_text(to, "remove-response-header", Outcome::remove_response_header)?;
    say_text(to, "log", Outcome::log)?;

    let to = &mut linker.instance(&constants)?;
    to.func_wrap("put", put)?;
    to.func_wrap("seal", |mut store: StoreContextMut<'_, State>, ()| {
        pay(&mut store, CALL_FUEL)?;
        store.data_mut().loading("seal")?.seal();
        Ok(())
    })?;
    to.func_wrap("get", get)
}

/// What a value to be looked for in a document may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Values {
    /// Whatever: it is compared as it is.
    Plain,
    /// Up to 0.1.1 it was a template. A policy of then may mean a symbol by `{subject}`, or have it
    /// from a header, and nobody can tell which: what is not plain is a fault.
    Templates,
}

/// A type of the contract as the guest hands it over.
macro_rules! argument {
    (text) => {
        WasmStr
    };
    (seconds) => {
        u32
    };
    (moment) => {
        u64
    };
    (number) => {
        i64
    };
}

/// A type of the contract as the guest gets it.
macro_rules! value {
    (yes) => { bool };
    (text) => { Arc<str> };
    (texts) => { Arc<[Box<str>]> };
    (moment) => { u64 };
    (maybe_text) => { Option<Arc<str>> };
    (maybe_number) => { Option<i64> };
    (maybe_yes) => { Option<bool> };
}

/// An argument, copied out of the guest's memory.
macro_rules! taken {
    ($store:ident, $argument:ident, text) => {
        text(&$store, &$argument)?
    };
    ($store:ident, $argument:ident, $kind:ident) => {
        $argument
    };
}

/// A function for each interface of reads, which links each of its rows.
macro_rules! link {
    ($($interface:ident { $($(#[$doc:meta])* $variant:ident $method:ident $function:literal
        $(( $($argument:ident : $kind:ident),+ ))? -> $value:ident,
        of $whose:ident $($flag:ident)*, about $about:ident $($name:expr)?
        $(, rather $rather:literal)?;)* })*) => {
        mod links {
            use super::*;

            $(pub(super) fn $interface(
                to: &mut LinkerInstance<'_, State>,
                values: Values,
            ) -> wasmtime::Result<()> {
                $(to.func_wrap(
                    $function,
                    move |store: StoreContextMut<'_, State>, ($($($argument,)+)?): ($($(argument!($kind),)+)?)| {
                        let read = Read::$variant $(( $(taken!(store, $argument, $kind)),+ ))?;
                        values.check(&read)?;
                        answer::<value!($value)>(store, read)
                    },
                )?;)*
                Ok(())
            })*
        }
    };
}
ztlib_pattern::reads!(link);

impl Values {
    fn check(self, read: &Read) -> Result<(), Stop> {
        match (self, read) {
            (Self::Templates, Read::DataContains(.., value)) if value.contains(['{', '}', '~']) => {
                let what = "a policy of a contract before 0.1.2 looks for a value with `{`, `}` or `~`: build it again";
                Err(Stop::Read(ReadFault::Malformed(what)))
            }
            _ => Ok(()),
        }
    }
}

fn say_text(
    to: &mut LinkerInstance<'_, State>,
    name: &'static str,
    of: fn(&mut Outcome, &str) -> Result<(), OutcomeFault>,
) -> wasmtime::Result<()> {
    to.func_wrap(name, move |store: StoreContextMut<'_, State>, (one,): (WasmStr,)| {
        let one = text(&store, &one)?;
        say(store, name, one.len(), |outcome| of(outcome, &one))
    })
}

fn say_two_texts(
    to: &mut LinkerInstance<'_, State>,
    name: &'static str,
    of: fn(&mut Outcome, &str, &str) -> Result<(), OutcomeFault>,
) -> wasmtime::Result<()> {
    to.func_wrap(name, move |store: StoreContextMut<'_, State>, (one, two): (WasmStr, WasmStr)| {
        let (one, two) = (text(&store, &one)?, text(&store, &two)?);
        say(store, name, one.len().saturating_add(two.len()), |outcome| of(outcome, &one, &two))
    })
}

/// A text that the guest hands over. Where it lies and how long it may be was checked before.
fn text(store: &StoreContextMut<'_, State>, text: &WasmStr) -> wasmtime::Result<Box<str>> {
    Ok(text.to_str(store).map_err(|_| Stop::NotUtf8)?.into())
}

/// Makes a read. The guest pays for the call and its arguments before they are looked at, for the
/// value before it is handed on.
fn answer<A>(mut store: StoreContextMut<'_, State>, read: Read) -> wasmtime::Result<(A,)>
where
    A: TryFrom<Value>,
    (A,): ComponentNamedList + Lower,
{
    let function = read.function();
    pay(&mut store, CALL_FUEL.saturating_add(read.size() as u64))?;
    let value = store.data_mut().deciding(function)?.reader.read(read).map_err(Stop::Read)?;
    pay(&mut store, value.size() as u64)?;
    Ok((A::try_from(value).map_err(|_| Stop::Mismatch(function))?,))
}

/// Attaches something to the answer.
fn say(
    mut store: StoreContextMut<'_, State>,
    function: &'static str,
    bytes: usize,
    of: impl FnOnce(&mut Outcome) -> Result<(), OutcomeFault>,
) -> wasmtime::Result<()> {
    pay(&mut store, CALL_FUEL.saturating_add(bytes as u64))?;
    of(&mut store.data_mut().deciding(function)?.outcome).map_err(Stop::Outcome)?;
    Ok(())
}

/// Puts a constant aside. The policy pays before its bytes are copied.
fn put(mut store: StoreContextMut<'_, State>, (key, value): (WasmStr, WasmList<u8>)) -> wasmtime::Result<()> {
    let key = text(&store, &key)?;
    let bytes = key.len().saturating_add(value.len());
    pay(&mut store, CALL_FUEL.saturating_add(bytes as u64))?;
    store.data_mut().loading("put")?.admit(&key, value.len()).map_err(Stop::Constant)?;
    let value = value.as_le_slice(&store).into();
    store.data_mut().loading("put")?.put(key, value).map_err(Stop::Constant)?;
    Ok(())
}

/// Gets a constant. It is the same in every evaluation of a revision: nothing is recorded.
fn get(mut store: StoreContextMut<'_, State>, (key,): (WasmStr,)) -> wasmtime::Result<(Option<Arc<[u8]>>,)> {
    let (value, bytes) = {
        let key = key.to_str(&store).map_err(|_| Stop::NotUtf8)?;
        let value = store.data().constant("get", &key)?;
        let bytes = key.len().saturating_add(value.as_ref().map_or(0, |value| value.len()));
        (value, bytes)
    };
    pay(&mut store, CALL_FUEL.saturating_add(bytes as u64))?;
    Ok((value,))
}

fn pay(store: &mut StoreContextMut<'_, State>, fuel: u64) -> wasmtime::Result<()> {
    let left = store.get_fuel()?.checked_sub(fuel).ok_or(Stop::FuelSpent)?;
    store.set_fuel(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_one_line_are_spoken() {
        for (name, spoken) in [
            ("ztlib:policy/request@0.1.0", true),
            ("ztlib:policy/request@0.1.27", true),
            ("ztlib:policy/request@0.1.", false),
            ("ztlib:policy/request@0.1.0-rc", false),
            ("ztlib:policy/request@0.10.0", false),
            ("ztlib:policy/request@0.1", false),
            ("ztlib:policy/request", false),
            ("ztlib:policy/requests@0.1.0", false),
        ] {
            assert_eq!(is_spoken(name, "ztlib:policy/request"), spoken, "{name}");
        }
    }
}
