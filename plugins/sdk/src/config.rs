//! Reading a configuration: JSON by serde, with errors that name the member.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// Read a configuration from the bytes that [`Policy::configure`](crate::Policy::configure) is given.
///
/// Say `#[serde(deny_unknown_fields)]` on every struct: a misspelt member would otherwise be a rule that is not there.
///
/// ```
/// #[derive(serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Config { window: String }
///
/// let config: Config = ztlib_policy::config::from_json(br#"{ "window": "mon-fri 08:00-18:00" }"#)?;
/// assert_eq!(config.window, "mon-fri 08:00-18:00");
///
/// let error = ztlib_policy::config::from_json::<Config>(br#"{ "windows": "sat" }"#).err();
/// assert_eq!(error.as_deref(), Some("windows: unknown field `windows`, expected `window`"));
/// # Ok::<(), String>(())
/// ```
///
/// # Errors
/// What is wrong, after the path of the member that it is wrong with ("permissions.admin\[0\].routes").
pub fn from_json<'a, T: Deserialize<'a>>(config: &'a [u8]) -> Result<T, String> {
    if config.is_empty() {
        return Err("the policy needs a configuration: name one in the manifest".to_string());
    }
    let mut json = serde_json::Deserializer::from_slice(config);
    let value: T = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let text = error.inner().to_string();
        // The author wrote YAML or TOML: a line and a column of our JSON would mislead.
        let text = text.split(" at line ").next().unwrap_or_default();
        if path == "." { text.to_string() } else { format!("{path}: {text}") }
    })?;
    json.end().map_err(|_| "something follows the configuration".to_string())?;
    Ok(value)
}

/// A list that is not empty: `[]` is an error, since an empty list of methods, say, reads as "none" to one and
/// as "any" to another.
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

impl<'de, T: Deserialize<'de>> Deserialize<'de> for NonEmpty<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = Vec::deserialize(deserializer)?;
        if list.is_empty() { Err(D::Error::custom("the list is empty")) } else { Ok(Self(list)) }
    }
}

/// A string that is borrowed from the configuration where it holds no escapes. Not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text<'a>(pub Cow<'a, str>);

impl Text<'_> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string that is not empty")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                if text.is_empty() { Err(E::custom("the string is empty")) } else { Ok(Text(Cow::Borrowed(text))) }
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                if text.is_empty() { Err(E::custom("the string is empty")) } else { Ok(Text(Cow::Owned(text.to_string()))) }
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

/// The members of an object in the order in which they stand. A member that occurs twice is an error: with most
/// readers the last one wins, and a rule is gone.
#[derive(Debug, Clone)]
pub struct Members<'a, V>(pub Vec<(Text<'a>, V)>);

impl<V> Default for Members<'_, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de: 'a, 'a, V: Deserialize<'de>> Deserialize<'de> for Members<'a, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for MembersVisitor<V> {
            type Value = Members<'de, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<Text<'de>, V>()? {
                    members.push(member);
                }
                let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
                names.sort_unstable();
                if let Some(twice) = names.windows(2).find_map(|pair| match pair {
                    [a, b] if a == b => Some(*a),
                    _ => None,
                }) {
                    return Err(A::Error::custom(format_args!("the member `{twice}` occurs twice")));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor(PhantomData))
    }
}

/// A JSON pointer (RFC 6901) to a claim or into a document: it begins with `/`, and `~` stands only in `~0` and `~1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer<'a>(Text<'a>);

impl Pointer<'_> {
    /// The pointer as it is written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pointer<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        let escapes = text.as_str().split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        if text.as_str().starts_with('/') && escapes {
            Ok(Self(text))
        } else {
            Err(D::Error::custom(format_args!("`{}` is not a JSON pointer, as in `/roles`", text.as_str())))
        }
    }
}

/// A pattern of SPIFFE IDs, in the form that [`Question::peer_matches`](crate::Question::peer_matches) takes:
/// what is malformed is found when the policy is loaded and not at the first request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerPattern<'a>(Text<'a>);

impl PeerPattern<'_> {
    /// The pattern as it is written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for PeerPattern<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        if is_peer_pattern(text.as_str()) {
            Ok(Self(text))
        } else {
            Err(D::Error::custom(format_args!(
                "`{}` is not a pattern of SPIFFE IDs, as in `spiffe://example.org/shop/*`; `*` is a whole segment, `**` the last one",
                text.as_str()
            )))
        }
    }
}

fn is_peer_pattern(pattern: &str) -> bool {
    let Some((domain, path)) = pattern.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let literal = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'-' | b'_');
    let (before, last) = path.rsplit_once('/').map_or((None, path), |(before, last)| (Some(before), last));
    let segment = |segment: &str| segment == "*" || !segment.contains('*');
    !domain.is_empty()
        && domain.bytes().all(literal)
        && before.is_none_or(|before| before.split('/').all(segment))
        && (segment(last) || last == "**")
}
