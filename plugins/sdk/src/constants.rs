//! What `configure` puts aside for `decide`: values in the bytes of constants.
//!
//! The host makes an instance for every evaluation. A policy that is exported as *sealed* is
//! configured once, when it is loaded: what it came to is packed into constants, which the host
//! keeps, and each evaluation unpacks of them what its question needs. The policy itself is one
//! constant, so keep it small; what grows with the configuration belongs into
//! [`Rules`](crate::rules::Rules) or a [`Table`], which have a constant for each key.
//!
//! ```
//! use ztlib_policy::config::{Members, Text, from_json};
//! use ztlib_policy::constants::Table;
//! use ztlib_policy::testing::{Facts, Sealed};
//! use ztlib_policy::{Answer, Policy, Question, constant_struct, export_policy};
//!
//! constant_struct! {
//!     /// Each customer's own region.
//!     pub struct Regions { regions: Table<String> }
//! }
//!
//! impl Policy for Regions {
//!     fn configure(config: &[u8]) -> Result<Self, String> {
//!         let mut regions = Table::new();
//!         for (customer, region) in from_json::<Members<Text>>(config)?.0 {
//!             regions.add(&customer, &region.as_str().to_owned())?;
//!         }
//!         Ok(Self { regions })
//!     }
//!
//!     fn decide(&self, question: &Question) -> Answer {
//!         let region = question
//!             .claim_string("/tenant")
//!             .and_then(|tenant| self.regions.get(question, &tenant));
//!         if region.is_some() && region == question.label("region") {
//!             Answer::Allow
//!         } else {
//!             question.deny("elsewhere")
//!         }
//!     }
//! }
//!
//! export_policy!(Regions, sealed);
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let policy = Sealed::<Regions>::configure(br#"{ "acme": "eu", "globex": "us" }"#)?;
//! let facts = Facts::action("read").label("region", "eu");
//! assert_eq!(policy.decide(&facts.clone().token(r#"{"tenant": "acme"}"#))?.answer, Answer::Allow);
//! let verdict = policy.decide(&facts.token(r#"{"tenant": "globex"}"#))?;
//! assert_eq!(verdict.reason.as_deref(), Some("elsewhere"));
//! // A constant is not a read: the decision hangs on the claim and the label.
//! assert_eq!(verdict.reads(), [r#"claim-string("/tenant")="globex""#, r#"label("region")="eu""#]);
//! # Ok(())
//! # }
//! ```

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::marker::PhantomData;

use crate::Question;
use crate::names::Names;

/// A type whose values can be put aside. [`constant_struct!`](crate::constant_struct) implements it
/// for structs.
pub trait Constant<'a>: Sized {
    /// Append the value.
    fn pack(&self, to: &mut Packer);

    /// The value that comes next; none where these are not the bytes of one.
    fn unpack(from: &mut Unpacker<'a>) -> Option<Self>;
}

/// Where values are packed: the bytes of one constant, and the constants that came besides.
#[derive(Debug, Default)]
pub struct Packer {
    bytes: Vec<u8>,
    besides: Vec<(String, Vec<u8>)>,
    spaces: u32,
}

impl Packer {
    /// Append a number, the shorter the smaller it is.
    pub fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    /// Append bytes, with their length before them.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    /// What was appended.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The bytes so far, and these.
    pub(crate) fn finish(mut self, last: &[u8]) -> Vec<u8> {
        self.bytes.extend_from_slice(last);
        self.bytes
    }

    /// All constants of a policy; it lies itself under the empty key.
    pub(crate) fn pack<P: for<'a> Constant<'a>>(policy: &P) -> Vec<(String, Vec<u8>)> {
        let mut packer = Self::default();
        policy.pack(&mut packer);
        let mut constants = packer.besides;
        constants.push((String::new(), packer.bytes));
        constants
    }
}

/// The bytes of a constant, and how far they have been unpacked.
#[derive(Debug, Clone)]
pub struct Unpacker<'a> {
    rest: &'a [u8],
}

impl<'a> Unpacker<'a> {
    /// From the beginning of a constant.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether everything was unpacked.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What [`Packer::number`] appended.
    #[inline]
    pub fn number(&mut self) -> Option<u64> {
        match self.rest.split_first()? {
            (&byte, rest) if byte < 0x80 => {
                self.rest = rest;
                Some(byte.into())
            }
            _ => self.long_number(),
        }
    }

    fn long_number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// What [`Packer::bytes`] appended.
    #[inline]
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length)
    }

    /// Bytes whose number is known.
    #[inline]
    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    pub(crate) fn whole<T: Constant<'a>>(bytes: &'a [u8]) -> Option<T> {
        let mut from = Self::new(bytes);
        let value = T::unpack(&mut from)?;
        from.is_empty().then_some(value)
    }
}

/// Values by key, each a constant of its own: however many there are, an evaluation unpacks the one
/// that it asks for.
#[derive(Debug, Clone)]
pub struct Table<T> {
    space: Space,
    values: PhantomData<fn() -> T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Table<T> {
    /// An empty table.
    pub const fn new() -> Self {
        Self { space: Space::new(), values: PhantomData }
    }
}

impl<T: for<'a> Constant<'a>> Table<T> {
    /// Add a value.
    ///
    /// # Errors
    /// The key is there already, or the table was sealed.
    pub fn add(&mut self, key: &str, value: &T) -> Result<(), String> {
        let Some((place, true)) = self.space.place(key) else {
            return Err(format!("the key `{key}` occurs twice, or the table is sealed"));
        };
        *place = packed(value);
        Ok(())
    }

    /// The value under a key, compared byte by byte.
    pub fn get(&self, question: &Question<'_>, key: &str) -> Option<T> {
        let bytes = self.space.get(question, &[key])?;
        Some(Unpacker::whole(&bytes).unwrap_or_else(|| broken()))
    }
}

/// A list that is gone through from its beginning: a constant of its own, unpacked one by one. It
/// may hold what borrows from it.
///
/// ```
/// use ztlib_policy::constants::Sequence;
/// # use ztlib_policy::testing::{Facts, ask};
/// let mut methods = Sequence::new();
/// methods.push(&"GET");
/// methods.push(&"HEAD");
/// # ask(&Facts::action("a"), |question| {
/// let all = methods.open(question);
/// assert_eq!(all.iter::<&str>().collect::<Vec<_>>(), ["GET", "HEAD"]);
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Sequence(Space);

impl Default for Sequence {
    fn default() -> Self {
        Self::new()
    }
}

impl Sequence {
    /// An empty list.
    pub const fn new() -> Self {
        Self(Space::new())
    }

    /// Append a value, which takes at least a byte and holds neither [`Table`] nor
    /// [`Rules`](crate::rules::Rules). A list that was sealed takes no more: then this is a fault.
    pub fn push<'a>(&mut self, value: &impl Constant<'a>) {
        let Some((place, _)) = self.0.place("") else { broken() };
        place.extend_from_slice(&packed(value));
    }

    /// All of it, to be gone through.
    pub fn open(&self, question: &Question<'_>) -> Opened<'_> {
        Opened(self.0.get(question, &[]).unwrap_or_default())
    }
}

/// The bytes of a [`Sequence`].
#[derive(Debug)]
pub struct Opened<'s>(Cow<'s, [u8]>);

impl Opened<'_> {
    /// The values in their order, which must be of the type that was pushed.
    pub fn iter<'o, T: Constant<'o>>(&'o self) -> impl Iterator<Item = T> {
        let mut from = Unpacker::new(&self.0);
        core::iter::from_fn(move || {
            (!from.is_empty()).then(|| T::unpack(&mut from).unwrap_or_else(|| broken()))
        })
    }
}

/// Bytes by key, all of one owner: here while `configure` runs, among the constants afterwards.
#[derive(Debug, Clone)]
pub(crate) enum Space {
    Here { keys: Names, values: Vec<Vec<u8>> },
    Sealed { number: u32 },
}

impl Space {
    pub(crate) const fn new() -> Self {
        Self::Here { keys: Names::new(), values: Vec::new() }
    }

    /// The bytes under a key, empty at first, and whether they are new; none where the space is
    /// sealed.
    pub(crate) fn place(&mut self, key: &str) -> Option<(&mut Vec<u8>, bool)> {
        let Self::Here { keys, values } = self else { return None };
        let (number, new) = keys.add(key);
        if new {
            values.push(Vec::new());
        }
        Some((values.get_mut(number)?, new))
    }

    /// The bytes under a key, which is given in pieces.
    pub(crate) fn get<'s>(&'s self, question: &Question<'_>, key: &[&str]) -> Option<Cow<'s, [u8]>> {
        match self {
            Self::Here { keys, values } => {
                let number = keys.find(&key.concat())?;
                values.get(number).map(|value| Cow::Borrowed(value.as_slice()))
            }
            Self::Sealed { number } => question.constant(&sealed_key(*number, key)).map(Cow::Owned),
        }
    }
}

/// Begins with a letter for the space: no two spaces share a key, and none has the empty one.
fn sealed_key(number: u32, key: &[&str]) -> String {
    let mut whole = String::with_capacity(4 + key.iter().map(|piece| piece.len()).sum::<usize>());
    let letter = |letters: &'static str, number: u32| {
        let at = (number % 16) as usize;
        letters.get(at..=at).unwrap_or_default()
    };
    let mut left = number;
    while left >= 16 {
        whole.push_str(letter("abcdefghijklmnop", left));
        left /= 16;
    }
    // The last letter is a capital, so that no space's letters begin those of another.
    whole.push_str(letter("ABCDEFGHIJKLMNOP", left));
    key.iter().for_each(|piece| whole.push_str(piece));
    whole
}

impl Constant<'_> for Space {
    fn pack(&self, to: &mut Packer) {
        let space = to.spaces;
        to.spaces += 1;
        to.number(space.into());
        if let Self::Here { keys, values } = self {
            for (number, value) in values.iter().enumerate() {
                let key = keys.name(number).unwrap_or_default();
                to.besides.push((sealed_key(space, &[key]), value.clone()));
            }
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Some(Self::Sealed { number: u32::try_from(from.number()?).ok()? })
    }
}

impl<T> Constant<'_> for Table<T> {
    fn pack(&self, to: &mut Packer) {
        self.space.pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Some(Self { space: Space::unpack(from)?, values: PhantomData })
    }
}

impl Constant<'_> for Sequence {
    fn pack(&self, to: &mut Packer) {
        self.0.pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Space::unpack(from).map(Self)
    }
}

/// The bytes of a value that brings no constants of its own.
pub(crate) fn packed<'a>(value: &impl Constant<'a>) -> Vec<u8> {
    let mut packer = Packer::default();
    value.pack(&mut packer);
    if !packer.besides.is_empty() {
        broken();
    }
    packer.bytes
}

/// Constants are what the same policy packed: bytes of another form are a mistake in the policy,
/// and end the evaluation as a fault.
#[cold]
#[allow(clippy::panic, reason = "in the sandbox it traps; in a test it is a fault")]
pub(crate) fn broken() -> ! {
    #[cfg(target_arch = "wasm32")]
    crate::guest::trap();
    #[cfg(not(target_arch = "wasm32"))]
    panic!("a constant is of another form than was packed");
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Constant<'_> for $type {
            fn pack(&self, to: &mut Packer) {
                to.number((*self).into());
            }

            fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
                Self::try_from(from.number()?).ok()
            }
        }
    )*};
}

numbers!(u16, u32, u64);

impl Constant<'_> for i64 {
    fn pack(&self, to: &mut Packer) {
        // Small ones stay short, whatever their sign.
        to.number(((self << 1) ^ (self >> 63)) as u64);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        from.number().map(|number| (number >> 1) as i64 ^ -((number & 1) as i64))
    }
}

impl Constant<'_> for bool {
    fn pack(&self, to: &mut Packer) {
        to.number((*self).into());
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        match from.number()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl<'a> Constant<'a> for &'a [u8] {
    fn pack(&self, to: &mut Packer) {
        to.bytes(self);
    }

    fn unpack(from: &mut Unpacker<'a>) -> Option<Self> {
        from.bytes()
    }
}

impl<'a> Constant<'a> for &'a str {
    fn pack(&self, to: &mut Packer) {
        to.bytes(self.as_bytes());
    }

    fn unpack(from: &mut Unpacker<'a>) -> Option<Self> {
        core::str::from_utf8(from.bytes()?).ok()
    }
}

impl Constant<'_> for String {
    fn pack(&self, to: &mut Packer) {
        to.bytes(self.as_bytes());
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        <&str>::unpack(from).map(Self::from)
    }
}

impl Constant<'_> for Box<str> {
    fn pack(&self, to: &mut Packer) {
        to.bytes(self.as_bytes());
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        <&str>::unpack(from).map(Self::from)
    }
}

impl Constant<'_> for () {
    fn pack(&self, _: &mut Packer) {}

    fn unpack(_: &mut Unpacker<'_>) -> Option<Self> {
        Some(())
    }
}

impl<'a, T: Constant<'a>> Constant<'a> for Option<T> {
    fn pack(&self, to: &mut Packer) {
        self.is_some().pack(to);
        if let Some(value) = self {
            value.pack(to);
        }
    }

    fn unpack(from: &mut Unpacker<'a>) -> Option<Self> {
        if bool::unpack(from)? { T::unpack(from).map(Some) } else { Some(None) }
    }
}

impl<'a, T: Constant<'a>> Constant<'a> for Vec<T> {
    fn pack(&self, to: &mut Packer) {
        to.number(self.len() as u64);
        self.iter().for_each(|value| value.pack(to));
    }

    fn unpack(from: &mut Unpacker<'a>) -> Option<Self> {
        let length = usize::try_from(from.number()?).ok()?;
        // Not more than there can be, should the bytes be others than were packed.
        let mut list = Self::with_capacity(length.min(from.rest.len()));
        for _ in 0..length {
            list.push(T::unpack(from)?);
        }
        Some(list)
    }
}

/// Define a struct that can be put aside: all its fields can. See [`constants`](crate::constants).
///
/// ```
/// ztlib_policy::constant_struct! {
///     /// Who may come in, and until when.
///     #[derive(Debug, Clone)]
///     pub struct Visitor { name: String, until: Option<u64> }
/// }
/// ```
#[macro_export]
macro_rules! constant_struct {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident<$lifetime:lifetime> {
        $($(#[$field_meta:meta])* $field_visibility:vis $field:ident: $type:ty),* $(,)?
    }) => {
        $(#[$meta])*
        $visibility struct $name<$lifetime> { $($(#[$field_meta])* $field_visibility $field: $type),* }

        $crate::constant_struct!(@constant [$lifetime] $name<$lifetime> { $($field: $type),* });
    };
    ($(#[$meta:meta])* $visibility:vis struct $name:ident {
        $($(#[$field_meta:meta])* $field_visibility:vis $field:ident: $type:ty),* $(,)?
    }) => {
        $(#[$meta])*
        $visibility struct $name { $($(#[$field_meta])* $field_visibility $field: $type),* }

        $crate::constant_struct!(@constant ['constant] $name { $($field: $type),* });
    };
    (@constant [$lifetime:lifetime] $name:ty { $($field:ident: $type:ty),* }) => {
        impl<$lifetime> $crate::constants::Constant<$lifetime> for $name {
            #[allow(unused_variables, reason = "a struct without fields")]
            fn pack(&self, to: &mut $crate::constants::Packer) {
                $(<$type as $crate::constants::Constant<'_>>::pack(&self.$field, to);)*
            }

            #[allow(unused_variables, reason = "a struct without fields")]
            fn unpack(from: &mut $crate::constants::Unpacker<$lifetime>) -> ::core::option::Option<Self> {
                ::core::option::Option::Some(Self {
                    $($field: <$type as $crate::constants::Constant<$lifetime>>::unpack(from)?),*
                })
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Facts, ask};

    constant_struct! {
        #[derive(Debug, Clone, PartialEq)]
        struct Everything {
            yes: bool,
            small: u32,
            large: u64,
            signed: Vec<i64>,
            text: Box<str>,
            some: Option<String>,
            none: Option<String>,
            nested: Vec<Inner>,
            unit: (),
        }
    }

    constant_struct! {
        #[derive(Debug, Clone, PartialEq)]
        struct Inner { name: String }
    }

    fn everything() -> Everything {
        Everything {
            yes: true,
            small: 127,
            large: u64::MAX,
            signed: [0, -1, 1, i64::MIN, i64::MAX, 63, -64].to_vec(),
            text: "caf\u{e9}".into(),
            some: Some(String::new()),
            none: None,
            nested: [Inner { name: "a".into() }, Inner { name: "b".repeat(300) }].to_vec(),
            unit: (),
        }
    }

    #[test]
    fn what_was_packed_is_unpacked() {
        let bytes = packed(&everything());
        assert_eq!(Unpacker::whole(&bytes), Some(everything()));
    }

    #[test]
    fn bytes_of_another_form_are_no_value_and_no_panic() {
        let bytes = packed(&everything());
        for end in 0..bytes.len() {
            assert_eq!(Unpacker::whole::<Everything>(&bytes[..end]), None, "cut at {end}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(Unpacker::whole::<Everything>(&longer), None);
        assert_eq!(Unpacker::whole::<Vec<String>>(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), None);
        assert_eq!(Unpacker::whole::<u64>(&[0x80; 20]), None);
        assert_eq!(Unpacker::whole::<bool>(&[2]), None);
        assert_eq!(Unpacker::whole::<&str>(&[1, 0xff]), None);
    }

    #[test]
    fn no_two_spaces_share_a_key() {
        let mut keys: Vec<String> = Vec::new();
        for number in 0..600 {
            for key in ["", "a", "A", "aA", "=/x"] {
                keys.push(sealed_key(number, &[key]));
            }
        }
        let count = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count);
        assert!(!keys.contains(&String::new()));
    }

    #[test]
    fn a_key_of_a_table_is_compared_as_a_whole_and_given_once() {
        let mut table = Table::new();
        table.add("alice", &1_u32).unwrap();
        assert!(table.add("alice", &2).unwrap_err().contains("`alice`"));
        let get = |key: &str| ask(&Facts::action("a"), |question| table.get(question, key)).unwrap();
        assert_eq!((get("alice"), get("alic"), get("Alice"), get("")), (Some(1), None, None, None));
    }
}
