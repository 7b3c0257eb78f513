//! A reader of JSON (RFC 8259) that knows what it expects next.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use crate::config::FromConfig;

/// What is wrong with a configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Wrong>);

/// Boxed: what is read well is moved about far more often than an error is made.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wrong {
    path: String,
    text: Cow<'static, str>,
}

impl Error {
    /// Something is wrong with the value that is being read.
    #[cold]
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Wrong { path: String::new(), text: text.into() }))
    }

    /// The same, seen from the object of which the value is this member.
    #[must_use]
    pub fn within(mut self, member: &str) -> Self {
        let path = &self.0.path;
        let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
        self.0.path = format!("{member}{dot}{path}");
        self
    }

    /// A member that the object does not have.
    pub fn unknown(name: &str, known: &[&str]) -> Self {
        Self::new(format!("unknown member `{name}`; known are: {}", known.join(", ")))
    }

    /// The value of a member, or what its absence stands for.
    ///
    /// # Errors
    /// The member must be there.
    pub fn required<'a, T: FromConfig<'a>>(value: Option<T>, name: &str) -> Result<T, Self> {
        value.or_else(T::absent).ok_or_else(|| Self::new(format!("the member `{name}` is missing")))
    }

    /// The path and what is wrong.
    pub fn into_text(self) -> String {
        let Wrong { path, text } = *self.0;
        if path.is_empty() { text.into_owned() } else { format!("{path}: {text}") }
    }
}

/// The configuration, and how far it has been read.
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

/// How deep a configuration of a type that nests in itself may go: a guest has a small stack.
const MAX_DEPTH: u32 = 32;

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// Read an object: `member` is called for each of its members and reads the value.
    ///
    /// # Errors
    /// No object comes next, or what `member` says.
    #[allow(
        clippy::type_complexity,
        reason = "one closure: a name for its type would say less than the type"
    )]
    pub fn object(
        &mut self,
        member: &mut dyn FnMut(&mut Self, Cow<'a, str>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if !self.take(b'{') {
            return Err(Error::new("an object is expected"));
        }
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let name = self.string()?;
            if !self.take(b':') {
                return Err(Error::new("the JSON is broken: `:` is expected after the name of a member"));
            }
            member(self, name)?;
            if self.take(b'}') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(Error::new("the JSON is broken: `,` or `}` is expected in an object"));
            }
        }
    }

    /// Read a list: `element` is called where an element comes next and reads it.
    ///
    /// # Errors
    /// No list comes next, or what `element` says.
    pub fn list(&mut self, element: &mut dyn FnMut(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        if !self.take(b'[') {
            return Err(Error::new("a list is expected"));
        }
        if self.take(b']') {
            return Ok(());
        }
        let mut number = 0_usize;
        loop {
            element(self).map_err(|error| error.within(&format!("[{number}]")))?;
            number += 1;
            if self.take(b']') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(Error::new("the JSON is broken: `,` or `]` is expected in a list"));
            }
        }
    }

    /// Read the value of a member into its place.
    ///
    /// # Errors
    /// The member has been there before, or the value is wrong.
    pub fn member<T: FromConfig<'a>>(&mut self, name: &str, place: &mut Option<T>) -> Result<(), Error> {
        if place.is_some() {
            return Err(Error::new(format!("the member `{name}` occurs twice")));
        }
        *place = Some(T::read(self).map_err(|error| error.within(name))?);
        Ok(())
    }

    /// Read a value of a type that holds values of its own type.
    pub(crate) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Error::new("the configuration nests too deep"));
        }
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    /// Read a string.
    ///
    /// # Errors
    /// No string comes next.
    pub fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        if !self.take(b'"') {
            return Err(Error::new("a string is expected"));
        }
        let mut text: Cow<'a, str> = Cow::Borrowed("");
        loop {
            let start = self.at;
            let rest = self.text.as_bytes().get(start..).unwrap_or_default();
            let special = |&byte: &u8| SPECIAL.get(usize::from(byte)) != Some(&false);
            self.at += rest.iter().position(special).ok_or_else(broken_string)?;
            let plain = self.text.get(start..self.at).ok_or_else(broken_string)?;
            if text.is_empty() {
                text = Cow::Borrowed(plain)
            } else {
                text.to_mut().push_str(plain)
            }
            match self.next() {
                Some(b'"') => return Ok(text),
                Some(b'\\') => text.to_mut().push(self.escape().ok_or_else(broken_string)?),
                _ => return Err(broken_string()),
            }
        }
    }

    /// The character that an escape stands for, after its backslash.
    fn escape(&mut self) -> Option<char> {
        Some(match self.next()? {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex()?;
                if !(0xd800..0xdc00).contains(&first) {
                    return char::from_u32(first);
                }
                if (self.next()?, self.next()?) != (b'\\', b'u') {
                    return None;
                }
                let second = self.hex().filter(|second| (0xdc00..0xe000).contains(second))?;
                return char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00));
            }
            itself @ (b'"' | b'\\' | b'/') => char::from(itself),
            _ => return None,
        })
    }

    fn hex(&mut self) -> Option<u32> {
        (0..4).try_fold(0, |value, _| Some(value * 16 + char::from(self.next()?).to_digit(16)?))
    }

    /// Read a whole number.
    ///
    /// # Errors
    /// No whole number comes next, or one that 64 bits cannot hold.
    pub fn integer(&mut self) -> Result<i64, Error> {
        self.space();
        let start = self.at;
        while matches!(self.peek(), Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')) {
            self.at += 1;
        }
        let number = self.text.get(start..self.at).ok_or_else(not_a_whole_number)?;
        let digits = number.strip_prefix('-').unwrap_or(number);
        if digits.is_empty()
            || !digits.bytes().all(|byte| byte.is_ascii_digit())
            || (digits.len() > 1 && digits.starts_with('0'))
        {
            return Err(not_a_whole_number());
        }
        number.parse().map_err(|_| Error::new("the number is too large"))
    }

    /// Read `true` or `false`.
    ///
    /// # Errors
    /// Something else comes next.
    pub fn boolean(&mut self) -> Result<bool, Error> {
        if self.word("true") {
            Ok(true)
        } else if self.word("false") {
            Ok(false)
        } else {
            Err(Error::new("`true` or `false` is expected"))
        }
    }

    /// Whether the value that comes next begins with this: `"`, `[` or `{`.
    pub fn is_next(&mut self, byte: u8) -> bool {
        self.space();
        self.peek() == Some(byte)
    }

    /// Read `null` where it comes next.
    pub fn null(&mut self) -> bool {
        self.word("null")
    }

    pub(crate) fn end(&mut self) -> Result<(), Error> {
        self.space();
        if self.peek().is_none() { Ok(()) } else { Err(Error::new("something follows the configuration")) }
    }

    fn word(&mut self, word: &str) -> bool {
        self.space();
        let found = self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes()));
        if found {
            self.at += word.len();
        }
        found
    }

    /// Whether this comes next; if so, it is read.
    fn take(&mut self, byte: u8) -> bool {
        self.space();
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
        }
        found
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }
}

/// The bytes at which the plain part of a string ends. A table takes half the instructions of three
/// comparisons.
#[allow(clippy::indexing_slicing, reason = "computed when compiled: an index out of bounds does not compile")]
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < special.len() {
        special[byte] = byte < 0x20 || byte == b'"' as usize || byte == b'\\' as usize;
        byte += 1;
    }
    special
};

#[cold]
fn broken_string() -> Error {
    Error::new("the JSON is broken: a string does not end, or holds what it may not")
}

#[cold]
fn not_a_whole_number() -> Error {
    Error::new("a whole number is expected")
}
