//! A reader of JSON (RFC 8259) that knows what it expects next.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;

use crate::config::FromConfig;

/// What is wrong with a configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    path: String,
    text: Cow<'static, str>,
}

impl Error {
    /// Something is wrong with the value that is being read.
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self { path: String::new(), text: text.into() }
    }

    /// The same, seen from the object of which the value is this member.
    #[must_use]
    pub fn within(mut self, member: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{member}{dot}{}", self.path);
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
        if self.path.is_empty() { self.text.into_owned() } else { format!("{}: {}", self.path, self.text) }
    }
}

/// The configuration from where it has been read to.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// Read an object: `member` is called for each of its members and reads the value.
    ///
    /// # Errors
    /// No object comes next, or what `member` says.
    pub fn object(
        &mut self,
        member: &mut dyn FnMut(&mut Self, Cow<'a, str>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if !self.take('{') {
            return Err(Error::new("an object is expected"));
        }
        if self.take('}') {
            return Ok(());
        }
        loop {
            let name = self.string()?;
            if !self.take(':') {
                return Err(Error::new("the JSON is broken: `:` is expected after the name of a member"));
            }
            member(self, name)?;
            if self.take('}') {
                return Ok(());
            }
            if !self.take(',') {
                return Err(Error::new("the JSON is broken: `,` or `}` is expected in an object"));
            }
        }
    }

    /// Read a list: `element` is called where an element comes next and reads it.
    ///
    /// # Errors
    /// No list comes next, or what `element` says.
    pub fn list(&mut self, element: &mut dyn FnMut(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        if !self.take('[') {
            return Err(Error::new("a list is expected"));
        }
        if self.take(']') {
            return Ok(());
        }
        let mut number = 0_usize;
        loop {
            element(self).map_err(|error| error.within(&format!("[{number}]")))?;
            number += 1;
            if self.take(']') {
                return Ok(());
            }
            if !self.take(',') {
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

    /// Read a string.
    ///
    /// # Errors
    /// No string comes next.
    pub fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        if !self.take('"') {
            return Err(Error::new("a string is expected"));
        }
        let mut text: Cow<'a, str> = Cow::Borrowed("");
        loop {
            let special = |byte: u8| byte == b'"' || byte == b'\\' || byte < 0x20;
            let plain = self.rest.bytes().position(special).ok_or(BROKEN_STRING)?;
            let (before, rest) = self.rest.split_at_checked(plain).ok_or(BROKEN_STRING)?;
            if text.is_empty() {
                text = Cow::Borrowed(before)
            } else {
                text.to_mut().push_str(before)
            }
            if let Some(rest) = rest.strip_prefix('"') {
                self.rest = rest;
                return Ok(text);
            }
            self.rest = rest.strip_prefix('\\').ok_or(BROKEN_STRING)?;
            let character = self.escape().ok_or(BROKEN_STRING)?;
            text.to_mut().push(character);
        }
    }

    /// The character that an escape stands for, after its backslash.
    fn escape(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let kind = characters.next()?;
        self.rest = characters.as_str();
        Some(match kind {
            '"' | '\\' | '/' => kind,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let first = self.hex()?;
                if !(0xd800..0xdc00).contains(&first) {
                    return char::from_u32(first);
                }
                self.rest = self.rest.strip_prefix("\\u")?;
                let second = self.hex().filter(|second| (0xdc00..0xe000).contains(second))?;
                return char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00));
            }
            _ => return None,
        })
    }

    fn hex(&mut self) -> Option<u32> {
        let (digits, rest) = self.rest.split_at_checked(4)?;
        self.rest = rest;
        digits.chars().try_fold(0, |value, digit| Some(value * 16 + digit.to_digit(16)?))
    }

    /// Read a whole number.
    ///
    /// # Errors
    /// No whole number comes next, or one that 64 bits cannot hold.
    pub fn integer(&mut self) -> Result<i64, Error> {
        const WRONG: Error = Error { path: String::new(), text: Cow::Borrowed("a whole number is expected") };
        self.space();
        let end = self.rest.find(|c: char| !matches!(c, '-' | '+' | '.' | 'e' | 'E' | '0'..='9'));
        let (number, rest) = self.rest.split_at_checked(end.unwrap_or(self.rest.len())).ok_or(WRONG)?;
        let digits = number.strip_prefix('-').unwrap_or(number);
        if digits.is_empty()
            || !digits.bytes().all(|byte| byte.is_ascii_digit())
            || (digits.len() > 1 && digits.starts_with('0'))
        {
            return Err(WRONG);
        }
        self.rest = rest;
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

    /// Read `null` where it comes next.
    pub fn null(&mut self) -> bool {
        self.word("null")
    }

    pub(crate) fn end(&mut self) -> Result<(), Error> {
        self.space();
        if self.rest.is_empty() { Ok(()) } else { Err(Error::new("something follows the configuration")) }
    }

    fn word(&mut self, word: &str) -> bool {
        self.space();
        self.rest.strip_prefix(word).map(|rest| self.rest = rest).is_some()
    }

    fn take(&mut self, character: char) -> bool {
        self.space();
        self.rest.strip_prefix(character).map(|rest| self.rest = rest).is_some()
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }
}

const BROKEN_STRING: Error = Error {
    path: String::new(),
    text: Cow::Borrowed("the JSON is broken: a string does not end, or holds what it may not"),
};
