//! What a policy may ask of a request: its parts, and what the router found.

use std::borrow::Cow;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderName, HeaderValue};
use smallvec::SmallVec;

use crate::fact::Fact;
use crate::read::ReadFault;
use crate::view::View;

/// A request, checked to be in normal form (`enforce::target`).
#[derive(Debug)]
pub struct RequestFacts {
    /// In a box: a question moves from hand to hand.
    pub parts: Box<Parts>,
    /// Host and path, checked.
    pub target: Target,
    /// The template of the route; `None` where none matched.
    pub route: Option<Arc<str>>,
    /// The parameters of the route.
    pub params: Params,
}

/// Host and path of a request, in one piece.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    text: String,
    host: usize,
}

impl Target {
    /// `host` is canonical; `path` is the path as the router saw it, while the request's own may
    /// have lost a prefix in a nested router.
    pub fn new(host: &str, path: &str) -> Self {
        let mut text = String::with_capacity(host.len() + path.len());
        text.push_str(host);
        text.push_str(path);
        Self { text, host: host.len() }
    }

    /// The one host, canonical; empty where it is not known.
    pub fn host(&self) -> &str {
        self.text.get(..self.host).unwrap_or_default()
    }

    /// The path as the outermost router saw it.
    pub fn path(&self) -> &str {
        self.text.get(self.host..).unwrap_or_default()
    }

    /// Keeps at most so many bytes of the path.
    pub fn cut(&mut self, path_bytes: usize) {
        if self.text.len() > self.host + path_bytes {
            self.text.truncate(self.text.floor_char_boundary(self.host + path_bytes));
            self.text.shrink_to_fit();
        }
    }
}

/// The parameters of a route, decoded, in one piece: each name is followed by its value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params {
    text: String,
    /// Where each name, and each value, ends. Routes with more than two parameters are rare.
    ends: SmallVec<[(usize, usize); 2]>,
}

impl Params {
    /// Adds a parameter, decoded.
    pub fn push(&mut self, name: &str, value: &str) {
        self.text.reserve(name.len() + value.len());
        self.text.push_str(name);
        let end = self.text.len();
        self.text.push_str(value);
        self.ends.push((end, self.text.len()));
    }

    /// Names and values, in the order of the route.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut begin = 0;
        self.ends.iter().map(move |&(name_end, value_end)| {
            let name = self.text.get(begin..name_end).unwrap_or_default();
            begin = value_end;
            (name, self.text.get(name_end..value_end).unwrap_or_default())
        })
    }
}

impl RequestFacts {
    /// The same request, to be judged elsewhere: without what layers have attached to it, and
    /// without the values of headers that nobody may read.
    pub fn copy(&self, view: &View) -> Self {
        let mut parts = http::Request::new(()).into_parts().0;
        parts.method = self.parts.method.clone();
        parts.uri = self.parts.uri.clone();
        parts.version = self.parts.version;
        parts.headers = self.parts.headers.clone();
        let secrets = parts.headers.iter_mut().filter(|(name, _)| {
            SECRET_HEADERS.contains(&name.as_str()) || view.secret_headers.contains(*name)
        });
        secrets.for_each(|(_, value)| *value = HeaderValue::from_static(""));
        Self {
            parts: Box::new(parts),
            target: self.target.clone(),
            route: self.route.clone(),
            params: self.params.clone(),
        }
    }

    /// Its bytes, for bounds.
    pub fn size(&self) -> usize {
        let headers = self.parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 64);
        let query = self.parts.uri.query().map_or(0, str::len);
        headers.sum::<usize>() + query + 2 * self.target.text.len() + self.params.text.len() + 512
    }

    /// A parameter of the route. Where the template names it twice (`/tenants/{id}` nested over
    /// `/orders/{id}`), one extractor of the handler gives the first value and another the last.
    pub fn param(&self, name: &str) -> Result<Option<&str>, ReadFault> {
        let mut values = self.params.iter().filter(|(own, _)| *own == name).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            (_, Some(_)) => Err(ReadFault::SeveralValues),
        }
    }

    pub(crate) fn header<'q>(&'q self, name: &str, view: &View) -> Result<Fact<'q>, ReadFault> {
        let name = readable(name, view)?;
        let mut values = self.parts.headers.get_all(&name).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(Fact::Absent),
            (Some(value), None) => Ok(Fact::Text(utf8(value)?.into())),
            (Some(_), Some(_)) => Err(ReadFault::SeveralValues),
        }
    }

    pub(crate) fn has_header(&self, name: &str, view: &View) -> Result<bool, ReadFault> {
        Ok(self.parts.headers.contains_key(readable(name, view)?))
    }

    pub(crate) fn header_values<'q>(&'q self, name: &str, view: &View) -> Result<Fact<'q>, ReadFault> {
        let name = readable(name, view)?;
        let values: Result<Vec<&str>, ReadFault> =
            self.parts.headers.get_all(&name).iter().map(utf8).collect();
        Ok(Fact::list(values?))
    }

    /// A parameter of the query, decoded.
    ///
    /// # Errors
    /// [`ReadFault::SeveralValues`], [`ReadFault::MalformedQuery`], [`ReadFault::NotUtf8`].
    pub fn query<'q>(&'q self, name: &str) -> Result<Fact<'q>, ReadFault> {
        let mut found = None;
        for pair in self.parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if decode(key)? == name && found.replace(decode(value)?).is_some() {
                return Err(ReadFault::SeveralValues);
            }
        }
        Ok(Fact::text(found))
    }
}

/// Headers that carry secrets in every service.
pub const SECRET_HEADERS: [&str; 5] =
    ["authorization", "proxy-authorization", "cookie", "set-cookie", "dpop"];

/// Secrets cannot be read by anyone.
pub fn readable(name: &str, view: &View) -> Result<HeaderName, ReadFault> {
    if name.len() > 128 {
        return Err(ReadFault::Malformed("a header name is at most 128 bytes"));
    }
    let name: HeaderName = name.parse().map_err(|_| ReadFault::Malformed("this is not a header name"))?;
    if SECRET_HEADERS.contains(&name.as_str()) || view.secret_headers.contains(&name) {
        return Err(ReadFault::Secret);
    }
    Ok(name)
}

fn utf8(value: &http::HeaderValue) -> Result<&str, ReadFault> {
    std::str::from_utf8(value.as_bytes()).map_err(|_| ReadFault::NotUtf8)
}

/// Decodes a part of a query as forms are decoded (WHATWG URL, application/x-www-form-urlencoded):
/// `+` is a space. A `%` without two hexadecimal digits behind it is a fault: readers disagree on
/// it.
fn decode(text: &str) -> Result<Cow<'_, str>, ReadFault> {
    const MALFORMED: ReadFault = ReadFault::MalformedQuery;
    if !text.contains(['+', '%']) {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16)).ok_or(MALFORMED);
                let value = digit()? * 16 + digit()?;
                u8::try_from(value).map_err(|_| MALFORMED)?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| ReadFault::NotUtf8)
}
