//! Reading a configuration: JSON straight into types, with errors that name the member.
//!
//! The reader is small on purpose: a policy is compiled by each service that loads it and runs
//! `configure` for every evaluation. An author who would rather have serde adds `serde_json` and
//! some 100 KB.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

pub use crate::forms::{
    ContextClass, DnsName, DocumentPointer, HeaderName, Network, PathPattern, PeerPattern, Schedule, Scope,
};
pub use crate::issuers::{Issuers, Vouchers};
pub use crate::json::{Error, Reader};
pub use crate::names::Names;

/// Read a configuration from the bytes that [`Policy::configure`](crate::Policy::configure) is
/// given.
///
/// ```
/// use ztlib_policy::config::{Text, from_json};
/// use ztlib_policy::config_struct;
///
/// config_struct! {
///     struct Config<'a> { window: Text<'a> = "window", networks: Vec<Text<'a>> = "networks" }
/// }
///
/// let config: Config = from_json(br#"{ "window": "mon-fri 08:00-18:00" }"#)?;
/// assert_eq!(config.window.as_str(), "mon-fri 08:00-18:00");
/// assert!(config.networks.is_empty());
///
/// // What is misspelt is an error and not a rule that is not there.
/// let error = from_json::<Config>(br#"{ "windows": "sat 10:00-12:00" }"#).err();
/// assert_eq!(error.as_deref(), Some("unknown member `windows`; known are: window, networks"));
/// # Ok::<(), String>(())
/// ```
///
/// # Errors
/// What is wrong, after the path of the member that it is wrong with
/// ("permissions.admin\[0\].routes: the list is empty").
pub fn from_json<'a, T: FromConfig<'a>>(config: &'a [u8]) -> Result<T, String> {
    if config.is_empty() {
        return Err("the policy needs a configuration: name one in the manifest".to_string());
    }
    let text = core::str::from_utf8(config).map_err(|_| "the configuration is not UTF-8".to_string())?;
    let mut reader = Reader::new(text);
    let value = T::read(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(Error::into_text)
}

/// A type that can be read from a configuration. [`config_struct!`](crate::config_struct)
/// implements it for structs.
pub trait FromConfig<'a>: Sized {
    /// Read the value that comes next.
    ///
    /// # Errors
    /// What is wrong with it.
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error>;

    /// What a member that is not there stands for; none where it must be there.
    fn absent() -> Option<Self> {
        None
    }

    /// What no two values of one [`NonEmpty`] list have in common; none where they may be alike.
    fn key(&self) -> Option<&str> {
        None
    }
}

impl FromConfig<'_> for bool {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        reader.boolean()
    }
}

impl FromConfig<'_> for i64 {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        reader.integer()
    }
}

impl FromConfig<'_> for u32 {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        u32::try_from(reader.integer()?).map_err(|_| Error::new("the number is below 0 or too large"))
    }
}

/// A member that may be missing, or null.
impl<'a, T: FromConfig<'a>> FromConfig<'a> for Option<T> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        if reader.null() { Ok(None) } else { T::read(reader).map(Some) }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

/// For configurations that nest: a step within a step.
impl<'a, T: FromConfig<'a>> FromConfig<'a> for Box<T> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        reader.nested(|reader| T::read(reader).map(Self::new))
    }
}

/// A list; one that is missing is empty. Where empty would be ambiguous use [`NonEmpty`].
impl<'a, T: FromConfig<'a>> FromConfig<'a> for Vec<T> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let mut list = Vec::new();
        reader.list(&mut |reader| {
            list.push(T::read(reader)?);
            Ok(())
        })?;
        Ok(list)
    }

    fn absent() -> Option<Self> {
        Some(Vec::new())
    }
}

/// A list that is not empty: an empty list of methods, say, reads as "none" to one and as "any" to
/// another. No text is in it twice: whoever wrote it meant another one.
///
/// ```
/// use ztlib_policy::config::{NonEmpty, Scope, from_json};
/// let error = from_json::<NonEmpty<Scope>>(br#"["orders:read", "orders:read"]"#).err();
/// assert_eq!(error.as_deref(), Some("`orders:read` is there twice"));
/// ```
#[derive(Debug, Clone)]
pub struct NonEmpty<T>(Vec<T>);

impl<T> NonEmpty<T> {
    /// The elements.
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }
}

impl<T> IntoIterator for NonEmpty<T> {
    type Item = T;
    type IntoIter = alloc::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T: FromConfig<'a>> FromConfig<'a> for NonEmpty<T> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let list = Vec::read(reader)?;
        if list.is_empty() {
            return Err(Error::new("the list is empty"));
        }
        check_keys(&mut list.iter().filter_map(T::key))?;
        Ok(Self(list))
    }
}

/// One function for lists of all types.
fn check_keys(keys: &mut dyn Iterator<Item = &str>) -> Result<(), Error> {
    let mut known = Names::new();
    for key in keys {
        if !known.add(key).1 {
            return Err(Error::new(format!("`{key}` is there twice")));
        }
    }
    Ok(())
}

/// One value, or a list of them that is not empty.
#[derive(Debug, Clone)]
pub struct OneOrMany<T>(Vec<T>);

impl<T> IntoIterator for OneOrMany<T> {
    type Item = T;
    type IntoIter = alloc::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T: FromConfig<'a>> FromConfig<'a> for OneOrMany<T> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        if reader.is_next(b'[') {
            return NonEmpty::read(reader).map(|list| Self(list.0));
        }
        T::read(reader).map(|one| Self(alloc::vec![one]))
    }
}

/// A string that is not empty; borrowed from the configuration where it holds no escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'a> FromConfig<'a> for Text<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let text = reader.string()?;
        if text.is_empty() { Err(Error::new("the string is empty")) } else { Ok(Self(text)) }
    }

    fn key(&self) -> Option<&str> {
        Some(&self.0)
    }
}

/// The members of an object in the order in which they stand. A member that occurs twice is an
/// error: with most readers the last one wins, and a rule is gone.
#[derive(Debug, Clone)]
pub struct Members<'a, V>(pub Vec<(Cow<'a, str>, V)>);

impl<'a, V: FromConfig<'a>> FromConfig<'a> for Members<'a, V> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let (mut members, mut names) = (Vec::new(), Names::new());
        reader.object(&mut |reader, name| {
            let value = V::read(reader).map_err(|error| error.within(&name))?;
            if !names.add(&name).1 {
                return Err(Error::new(format!("the member `{name}` occurs twice")));
            }
            members.push((name, value));
            Ok(())
        })?;
        Ok(Self(members))
    }
}

/// A JSON pointer (RFC 6901) to a claim: it begins with `/`, and `~` stands only in `~0` and `~1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer<'a>(Text<'a>);

impl Pointer<'_> {
    /// The pointer as it is written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl<'a> FromConfig<'a> for Pointer<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let text = Text::read(reader)?;
        if crate::forms::is_pointer(text.as_str()) {
            Ok(Self(text))
        } else {
            Err(Error::new(format!("`{}` is not a JSON pointer, as in `/roles`", text.as_str())))
        }
    }

    fn key(&self) -> Option<&str> {
        self.0.key()
    }
}

/// Define a struct of a configuration: its fields, their types, and the names of the members that
/// they are read from.
///
/// A member that is unknown, or occurs twice, or is missing though its type must be there, is an
/// error that names it. A struct of which nothing is borrowed is written without a lifetime.
///
/// ```
/// # use ztlib_policy::config::{from_json, Text};
/// ztlib_policy::config_struct! {
///     /// A rule.
///     struct Rule<'a> {
///         max_age: Option<u32> = "max-age",
///         routes: Vec<Text<'a>> = "routes",
///     }
/// }
/// let rule: Rule = from_json(br#"{ "max-age": 300 }"#)?;
/// assert_eq!((rule.max_age, rule.routes.len()), (Some(300), 0));
/// let error = from_json::<Rule>(br#"{ "max-age": "5 min" }"#).err();
/// assert_eq!(error.as_deref(), Some("max-age: a whole number is expected"));
/// # Ok::<(), String>(())
/// ```
#[macro_export]
macro_rules! config_struct {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident<$lifetime:lifetime> {
        $($(#[$field_meta:meta])* $field:ident: $type:ty = $key:literal),* $(,)?
    }) => {
        $(#[$meta])*
        $visibility struct $name<$lifetime> { $($(#[$field_meta])* $field: $type),* }

        $crate::config_struct!(@read [$lifetime] $name<$lifetime> { $($field: $type = $key),* });
    };
    ($(#[$meta:meta])* $visibility:vis struct $name:ident {
        $($(#[$field_meta:meta])* $field:ident: $type:ty = $key:literal),* $(,)?
    }) => {
        $(#[$meta])*
        $visibility struct $name { $($(#[$field_meta])* $field: $type),* }

        $crate::config_struct!(@read ['config] $name { $($field: $type = $key),* });
    };
    (@read [$lifetime:lifetime] $name:ty { $($field:ident: $type:ty = $key:literal),* }) => {
        impl<$lifetime> $crate::config::FromConfig<$lifetime> for $name {
            fn read(
                reader: &mut $crate::config::Reader<$lifetime>,
            ) -> ::core::result::Result<Self, $crate::config::Error> {
                $(let mut $field: ::core::option::Option<$type> = ::core::option::Option::None;)*
                reader.object(&mut |reader, name| match &*name {
                    $($key => reader.member($key, &mut $field),)*
                    _ => ::core::result::Result::Err($crate::config::Error::unknown(&name, &[$($key),*])),
                })?;
                ::core::result::Result::Ok(Self { $($field: $crate::config::Error::required($field, $key)?),* })
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    config_struct! {
        #[derive(Debug)]
        struct Config<'a> {
            rules: NonEmpty<Rule<'a>> = "rules",
            groups: Option<Members<'a, Vec<Text<'a>>>> = "groups",
        }
    }

    config_struct! {
        #[derive(Debug)]
        struct Rule<'a> {
            name: Text<'a> = "name",
            max_age: Option<u32> = "max-age",
            open: Option<bool> = "open",
        }
    }

    fn error(json: &str) -> String {
        from_json::<Config<'_>>(json.as_bytes()).unwrap_err()
    }

    #[test]
    fn a_configuration_is_read() {
        let json = br#" { "groups" : { "b" : ["x","y"] , "a":[ ] }, "rules":[{"name":"caf\u00e9 \ud83d\ude00\n\"","max-age":0,"open":true},{"name":"n","max-age":null}] } "#;
        let config: Config<'_> = from_json(json).unwrap();
        assert_eq!(config.rules.as_slice()[0].name.as_str(), "café 😀\n\"");
        assert_eq!(config.rules.as_slice()[0].max_age, Some(0));
        assert_eq!(config.rules.as_slice()[0].open, Some(true));
        assert_eq!(config.rules.as_slice()[1].max_age, None);
        let groups = config.groups.unwrap().0;
        assert_eq!(groups.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["b", "a"], "in their order");
        assert_eq!(groups[0].1.iter().map(Text::as_str).collect::<Vec<_>>(), ["x", "y"]);
    }

    #[test]
    fn errors_name_the_member() {
        for (json, wanted) in [
            ("", "the policy needs a configuration: name one in the manifest"),
            ("[]", "an object is expected"),
            (r#"{}"#, "the member `rules` is missing"),
            (r#"{"rules":[]}"#, "rules: the list is empty"),
            (r#"{"rules":{}}"#, "rules: a list is expected"),
            (
                r#"{"rules":[{"name":"a"},{"nam":"b"}]}"#,
                "rules[1]: unknown member `nam`; known are: name, max-age, open",
            ),
            (r#"{"rules":[{"max-age":1}]}"#, "rules[0]: the member `name` is missing"),
            (r#"{"rules":[{"name":""}]}"#, "rules[0].name: the string is empty"),
            (r#"{"rules":[{"name":7}]}"#, "rules[0].name: a string is expected"),
            (r#"{"rules":[{"name":"a","name":"b"}]}"#, "rules[0]: the member `name` occurs twice"),
            (
                r#"{"rules":[{"name":"a","max-age":-1}]}"#,
                "rules[0].max-age: the number is below 0 or too large",
            ),
            (r#"{"rules":[{"name":"a","max-age":1.5}]}"#, "rules[0].max-age: a whole number is expected"),
            (r#"{"rules":[{"name":"a","max-age":01}]}"#, "rules[0].max-age: a whole number is expected"),
            (
                r#"{"rules":[{"name":"a","max-age":99999999999999999999}]}"#,
                "rules[0].max-age: the number is too large",
            ),
            (r#"{"rules":[{"name":"a","open":"yes"}]}"#, "rules[0].open: `true` or `false` is expected"),
            (
                r#"{"rules":[{"name":"a"}],"groups":{"g":["x"],"g":[]}}"#,
                "groups: the member `g` occurs twice",
            ),
            (r#"{"rules":[{"name":"a"}],"groups":{"g":["x",1]}}"#, "groups.g[1]: a string is expected"),
            (r#"{"rules":[{"name":"a"}]} x"#, "something follows the configuration"),
        ] {
            assert_eq!(error(json), wanted, "{json}");
        }
        assert_eq!(from_json::<Config<'_>>(b"\xff").unwrap_err(), "the configuration is not UTF-8");
    }

    #[test]
    fn broken_json_is_refused() {
        for json in [
            r#"{"rules":[{"name":"a"},]}"#,
            r#"{"rules":[{"name":"a"}],}"#,
            r#"{"rules":[{"name":"a"}]"#,
            r#"{"rules":[{"name":"a}]}"#,
            r#"{"rules":[{"name" "a"}]}"#,
            r#"{rules:[{"name":"a"}]}"#,
            r#"{"rules":[{"name":"\x"}]}"#,
            r#"{"rules":[{"name":"\u12"}]}"#,
            r#"{"rules":[{"name":"\u+123"}]}"#,
            r#"{"rules":[{"name":"\ud800"}]}"#,
            r#"{"rules":[{"name":"\ud800\u0041"}]}"#,
            r#"{"rules":[{"name":"\udc00"}]}"#,
            "{\"rules\":[{\"name\":\"a\nb\"}]}",
            r#"{"rules":[{"name":'a'}]}"#,
            r#"{"rules":[{"name":"a","open":True}]}"#,
            r#"{"rules":[{"name":"a","max-age":+1}]}"#,
            r#"{"rules":[{"name":"a","max-age":--1}]}"#,
        ] {
            assert!(from_json::<Config<'_>>(json.as_bytes()).is_err(), "{json}");
        }
    }

    config_struct! {
        struct Nest<'a> { inner: Option<Box<Nest<'a>>> = "a", name: Option<Text<'a>> = "b" }
    }

    #[test]
    fn what_nests_too_deeply_is_refused_before_the_stack_ends() {
        let nested = |depth: usize| format!("{}{{}}{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        let deepest = nested(32);
        let mut level = Some(Box::new(from_json::<Nest<'_>>(deepest.as_bytes()).unwrap()));
        let mut depth = 0;
        while let Some(nest) = level {
            assert!(nest.name.is_none());
            (level, depth) = (nest.inner, depth + 1);
        }
        assert_eq!(depth, 33);
        assert!(from_json::<Nest<'_>>(nested(33).as_bytes()).is_err_and(|error| error.contains("too deep")));
        assert!(from_json::<Nest<'_>>(nested(100_000).as_bytes()).is_err());
    }

    #[test]
    fn pointers_and_peer_patterns_are_checked_when_they_are_read() {
        let pointer = |text: &str| from_json::<Pointer<'_>>(format!("\"{text}\"").as_bytes()).is_ok();
        assert!(pointer("/roles") && pointer("/realm~1x/roles~0") && pointer("/"));
        assert!(!pointer("roles") && !pointer("/a~2") && !pointer("/a~") && !pointer(""));
        let pattern = |text: &str| from_json::<PeerPattern<'_>>(format!("\"{text}\"").as_bytes()).is_ok();
        for good in
            ["spiffe://td/a", "spiffe://t-d.x_1/a/*/b", "spiffe://td/**", "spiffe://td/a/**", "spiffe://td/*"]
        {
            assert!(pattern(good), "{good}");
        }
        for bad in [
            "td/a",
            "spiffe://td",
            "spiffe://*/a",
            "spiffe:///a",
            "spiffe://TD/a",
            "spiffe://td/**/a",
            "spiffe://td/a*",
        ] {
            assert!(!pattern(bad), "{bad}");
        }
    }

    #[test]
    fn what_the_patterns_check_lets_through_the_host_takes() {
        let segments = ["a", "*", "**", "", "a*"];
        for first in segments {
            for second in segments {
                let pattern = format!("spiffe://td/{first}/{second}");
                let ours = from_json::<PeerPattern<'_>>(format!("\"{pattern}\"").as_bytes()).is_ok();
                let facts = crate::testing::Facts::request("GET", "/").peer("spiffe://td/a");
                let hosts = crate::testing::ask(&facts, |question| question.peer_matches(&pattern)).is_ok();
                // An empty segment is no fault for the host, and no SPIFFE ID has one.
                assert_eq!(ours, hosts && !first.is_empty() && !second.is_empty(), "{pattern}");
            }
        }
    }
}
