//! One case, as a file says it; and what the reader asks of the side that reads it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Map, Value as Json};

use crate::{Expectation, encoded};

/// What ztlib and its SDK each make of what a file says, as far as the guard would take it: what it
/// would refuse before any policy is asked cannot be a case. The reader asks in the order in which
/// it reads a case, and gives a complaint its line.
pub trait Checks {
    /// What reads, for the error about a format of another version: `ztlib`.
    const READER: &'static str;

    /// Who is on the other end of the connection.
    type Peer: Clone;
    /// The claims of a token that was verified.
    type Claims;
    /// A request without what the router found.
    type Target;

    /// The peer with a SPIFFE ID.
    ///
    /// # Errors
    /// What is wrong with the ID: it is put behind "is not a SPIFFE ID".
    fn spiffe_peer(id: &str) -> Result<Self::Peer, String>;

    /// A peer without one: who vouches for it, and its DNS names, at least one.
    fn named_peer(authority: &str, dns_names: &[&str]) -> Self::Peer;

    /// Claims, completed by what every verified token has: `now` is the case's moment, in seconds
    /// since 1970, and `is_home` says whether their issuer is the home issuer.
    ///
    /// # Errors
    /// The code, and why no token has such claims.
    fn claims(
        claims: Map<String, Json>,
        now: u64,
        is_home: bool,
    ) -> Result<Self::Claims, (&'static str, String)>;

    /// Whether this is a method (RFC 9110 section 9.1).
    fn is_method(method: &str) -> bool;

    /// Whether this can be a header with these values (RFC 9110 section 5).
    fn is_header(name: &str, values: &[String]) -> bool;

    /// The request, of which method and headers have been found good.
    ///
    /// # Errors
    /// Why no policy is asked about it.
    fn target(request: Request) -> Result<Self::Target, String>;

    /// Whether a router could have given this parameter, decoded.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check_parameter(value: &str) -> Result<(), String>;
}

/// One case of a file.
pub struct Case<C: Checks> {
    /// A sentence of 1 to 200 bytes without control characters, each once in a file.
    pub name: String,
    /// The line of the name, from 1.
    pub line: usize,
    /// What is asked about.
    pub asked: Asked<C::Target>,
    /// Who calls; none: without a certificate.
    pub peer: Option<C::Peer>,
    /// The claims of the caller's token; none: without one.
    pub claims: Option<C::Claims>,
    /// Where the caller connects from.
    pub remote_ip: Option<IpAddr>,
    /// Labels of the application, in the order of the file.
    pub labels: Vec<(String, String)>,
    /// What the service supplies; none: known to be absent.
    pub signals: BTreeMap<String, Option<String>>,
    /// Documents in the place of the set's own.
    pub documents: BTreeMap<String, Json>,
    /// When it is asked, in seconds since 1970: at most the end of the year 9999.
    pub now: u64,
    /// What is expected.
    pub expect: Expectation,
}

/// What a case asks about.
pub enum Asked<T> {
    /// A question of the application's own.
    Action(String),
    /// A request, and what the router found.
    Request {
        /// The request.
        target: T,
        /// The template of the route; none: no route has matched.
        route: Option<String>,
        /// The parameters of the route, decoded, in the order of the file.
        params: Vec<(String, String)>,
    },
}

/// A request as a case writes it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The host, with or without a port.
    pub host: String,
    /// The path, without a query and without a fragment.
    pub path: String,
    /// The query, decoded, in the order of the file.
    pub query: Vec<(String, String)>,
    /// Each header with its values, in the order of the file; names in whatever case.
    pub headers: Vec<(String, Vec<String>)>,
}

impl Request {
    /// The whole URI. As in HTTP/2, the host is in it, and in no header.
    pub fn uri(&self) -> String {
        let mut uri = format!("https://{}{}", self.host, self.path);
        for (index, (name, value)) in self.query.iter().enumerate() {
            uri.push(if index == 0 { '?' } else { '&' });
            uri.push_str(&encoded(name));
            uri.push('=');
            uri.push_str(&encoded(value));
        }
        uri
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_has_the_host_the_path_and_the_escaped_query() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut request = Request {
            method: "GET".to_owned(),
            host: "a.test:8443".to_owned(),
            path: "/b".to_owned(),
            query: Vec::new(),
            headers: Vec::new(),
        };
        assert_eq!(request.uri(), "https://a.test:8443/b");
        request.query = vec![pair("a b", "c&d=é"), pair("n", "7")];
        assert_eq!(request.uri(), "https://a.test:8443/b?a%20b=c%26d%3D%C3%A9&n=7");
    }
}
