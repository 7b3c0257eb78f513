//! What a router makes of a path: whether a template matches it, and the parameters that handlers
//! get.

use super::shown;

/// A route's template as axum 0.8 has it: `/orders/{id}`, `/files/{*rest}`, `/shop.Orders/Cancel`.
/// `{{` and `}}` stand for braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// To the end of a segment, and at least one character.
    Param(String),
    /// To the end of the path, and at least one character.
    Rest(String),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// Why no router has it: it does not begin with `/`, a brace is not closed, a parameter has no
    /// name or a name that another has, or something follows a parameter in its segment.
    ///
    /// ```
    /// use ztlib_contract::cases::Template;
    /// let template = Template::parse("/shops/{shop}/files/{*rest}")?;
    /// let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    /// let found = template.params("/shops/z%C3%BCrich/files/a/b");
    /// assert_eq!(found, Some(vec![pair("shop", "zürich"), pair("rest", "a/b")]));
    /// assert_eq!(template.params("/shops/z%C3%BCrich"), None);
    /// assert!(Template::parse("/shops/{shop").is_err());
    /// # Ok::<(), String>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err("a route begins with `/`".to_owned());
        }
        let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            literal.push_str(before);
            if let Some(after) = from.strip_prefix("{{") {
                literal.push('{');
                rest = after;
            } else if let Some(after) = from.strip_prefix("}}") {
                literal.push('}');
                rest = after;
            } else {
                let inside = from.strip_prefix('{').and_then(|inside| inside.split_once('}'));
                let (name, after) = inside.ok_or("a brace is not closed, or closes nothing")?;
                let (name, is_rest) = name.strip_prefix('*').map_or((name, false), |name| (name, true));
                check_name(name, &parts)?;
                let part = if is_rest {
                    if !after.is_empty() {
                        return Err(format!("`{{*{}}}` ends its route", shown(name)));
                    }
                    Part::Rest(name.to_owned())
                } else {
                    if !after.is_empty() && !after.starts_with('/') {
                        return Err(format!("`{{{}}}` ends its segment", shown(name)));
                    }
                    Part::Param(name.to_owned())
                };
                parts.push(Part::Literal(std::mem::take(&mut literal)));
                parts.push(part);
                rest = after;
            }
        }
        literal.push_str(rest);
        parts.push(Part::Literal(literal));
        Ok(Self(parts))
    }

    /// The parameters that handlers get for this path, decoded, in the order of the template; none
    /// where it does not match. The path is in normal form.
    pub fn params(&self, path: &str) -> Option<Vec<(String, String)>> {
        let (mut params, mut rest) = (Vec::new(), path);
        for part in &self.0 {
            let (name, value, after) = match part {
                Part::Literal(literal) => {
                    rest = rest.strip_prefix(literal.as_str())?;
                    continue;
                }
                Part::Param(name) => {
                    let (value, after) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                    (name, value, after)
                }
                Part::Rest(name) => (name, rest, ""),
            };
            if value.is_empty() {
                return None;
            }
            params.push((name.clone(), decoded(value)?));
            rest = after;
        }
        rest.is_empty().then_some(params)
    }
}

fn check_name(name: &str, parts: &[Part]) -> Result<(), String> {
    if name.is_empty() || name.contains(['*', '/', '{']) {
        return Err("a parameter has a name without `*`, `/` and braces: `{id}`, `{*rest}`".to_owned());
    }
    let is_taken = parts.iter().any(|part| match part {
        Part::Literal(_) => false,
        Part::Param(taken) | Part::Rest(taken) => taken == name,
    });
    // A policy would be asked about one value, and a handler get another.
    if is_taken { Err(format!("two parameters are named `{}`", shown(name))) } else { Ok(()) }
}

/// Without percent escapes (RFC 3986 section 2.1); none where they are malformed or give no UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            u8::try_from(digit()? * 16 + digit()?).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(template: &str, path: &str) -> Option<String> {
        let found = Template::parse(template).unwrap().params(path)?;
        Some(found.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn parameters_are_what_stands_in_their_place_decoded() {
        for (template, path, expected) in [
            ("/", "/", Some("")),
            ("/orders", "/orders", Some("")),
            ("/orders", "/orders/", None),
            ("/orders/{id}", "/orders/7", Some("id=7")),
            ("/orders/{id}", "/orders/", None),
            ("/orders/{id}", "/orders", None),
            ("/orders/{id}", "/orders/7/", None),
            ("/orders/{id}", "/orders/7/lines", None),
            ("/orders/{id}", "/order/7", None),
            ("/orders/{id}/", "/orders/7/", Some("id=7")),
            ("/orders/{id}/lines/{line}", "/orders/7/lines/1", Some("id=7 line=1")),
            ("/orders/no-{id}", "/orders/no-7", Some("id=7")),
            ("/orders/no-{id}", "/orders/no-", None),
            ("/{*rest}", "/a/b/", Some("rest=a/b/")),
            ("/{*rest}", "/", None),
            ("/a/{x}/{*rest}", "/a/b/c/d", Some("x=b rest=c/d")),
            ("/a{*rest}", "/ab/c", Some("rest=b/c")),
            ("/a{*rest}", "/a", None),
            ("/orders/{id}", "/orders/a%20b%2Fc", Some("id=a b/c")),
            ("/orders/{id}", "/orders/%C3%A9", Some("id=é")),
            ("/orders/{id}", "/orders/%FF", None),
            ("/orders/{id}", "/orders/%4", None),
            ("/{{a}}/{id}", "/{a}/7", Some("id=7")),
            ("/shop.Orders/Cancel", "/shop.Orders/Cancel", Some("")),
            ("/shop.Orders/Cancel", "/shop.Orders/Read", None),
            ("/orders/:id", "/orders/7", None),
            ("/caf%C3%A9", "/caf%C3%A9", Some("")),
            ("/café", "/caf%C3%A9", None),
        ] {
            assert_eq!(params(template, path).as_deref(), expected, "{template} {path}");
        }
    }

    #[test]
    fn what_no_router_takes_is_no_template() {
        for template in [
            "",
            "orders",
            "{id}",
            "/{id",
            "/id}",
            "/{}",
            "/{*}",
            "/{a}{b}",
            "/{a}.json",
            "/{*rest}/a",
            "/{a/b}",
            "/{a*}",
            "/{**a}",
            "/{a}/{a}",
            "/{a}/{*a}",
        ] {
            assert!(Template::parse(template).is_err(), "{template}");
        }
    }
}
