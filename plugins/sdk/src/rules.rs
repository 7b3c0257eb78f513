//! Rules by method, route and action, found through an index: two thousand cost no more to ask than two.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::Question;
use crate::config::{Names, NonEmpty, Text};
use crate::names::{HASH_START, hash, step};

/// What a rule is for, as it stands in a configuration: methods together with routes, actions, or both.
///
/// | member | form |
/// |---|---|
/// | `methods` | exactly as HTTP spells them ("GET"), or `*` alone for any. GET does not stand for HEAD. gRPC calls are "POST". |
/// | `routes` | templates as the router has them ("/orders/{id}"; gRPC: "/shop.Inventory/Reserve"), compared with the template that matched, not with the path. A last segment `*` stands for any one segment of the template but a catch-all ("/shop.Inventory/*"); a last segment `**` for the rest, however long ("/orders/**" holds "/orders" too). |
/// | `actions` | the application's names of what it asks ("orders.cancel"), compared as they are. |
///
/// A request that matched no route is under no rule.
#[derive(Debug, Clone, Default)]
pub struct Covers<'a> {
    /// Methods; given together with `routes`.
    pub methods: Option<NonEmpty<Text<'a>>>,
    /// Routes; given together with `methods`.
    pub routes: Option<NonEmpty<Text<'a>>>,
    /// Actions.
    pub actions: Option<NonEmpty<Text<'a>>>,
}

/// Rules with a value each. Made once in `configure`, asked in `decide`.
///
/// ```
/// use ztlib_policy::rules::{Covers, Rules};
/// # use ztlib_policy::config::from_json;
/// # use ztlib_policy::testing::{Facts, ask};
/// let list = |json: &'static str| from_json(json.as_bytes()).ok();
/// let mut rules = Rules::new();
/// let orders = Covers { methods: list(r#"["GET"]"#), routes: list(r#"["/orders/**"]"#), actions: None };
/// rules.add(&orders, "orders:read")?;
///
/// let facts = Facts::request("GET", "/orders/7").route("/orders/{id}");
/// assert_eq!(ask(&facts, |question| rules.find(question).copied().collect::<Vec<_>>()).unwrap(), ["orders:read"]);
///
/// // Another method, and a request that matched no route, are under no rule.
/// let facts = Facts::request("DELETE", "/orders/7").route("/orders/{id}");
/// assert_eq!(ask(&facts, |question| rules.find(question).count()).unwrap(), 0);
/// let facts = Facts::request("GET", "/orders/7");
/// assert_eq!(ask(&facts, |question| rules.find(question).count()).unwrap(), 0);
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone)]
pub struct Rules<T> {
    values: Vec<T>,
    /// Routes, prefixes of routes and actions, told apart by their hash.
    keys: Names,
    /// For each key the newest of its links and one; 0 is none.
    newest: Vec<u32>,
    links: Vec<Link>,
    methods: Names,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The whole route.
    Exact = 1,
    /// Everything but the last segment, which is any one.
    Segment = 2,
    /// A prefix that ends at a segment's end.
    Rest = 3,
    Action = 4,
}

impl Kind {
    /// The hash of a key of this kind. Kinds differ in the two lowest bits, so that equal texts of two kinds are two keys.
    fn mark(self, hash: u32) -> u32 {
        (hash << 2) | (self as u32 & 3)
    }
}

#[derive(Debug, Clone)]
struct Link {
    /// The method's number and one; 0 is any.
    method: u32,
    value: u32,
    next: u32,
}

impl<T> Default for Rules<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Rules<T> {
    /// No rules: nothing is found.
    pub fn new() -> Self {
        Self {
            values: Vec::new(),
            keys: Names::new(),
            newest: Vec::new(),
            links: Vec::new(),
            methods: Names::new(),
        }
    }

    /// Add a rule.
    ///
    /// # Errors
    /// Methods without routes or routes without methods, neither these nor actions, a route that does not begin with
    /// `/` or has a wildcard elsewhere than as its last segment, a method in lower case: what, and the text of it.
    pub fn add(&mut self, covers: &Covers<'_>, value: T) -> Result<(), String> {
        let number = self.values.len() as u32;
        match (&covers.methods, &covers.routes, &covers.actions) {
            (Some(methods), Some(routes), _) => {
                for method in methods.as_slice() {
                    let method = self.method_number(method.as_str())?;
                    for route in routes.as_slice() {
                        let (kind, key) = route_key(route.as_str())?;
                        self.link(kind, key, method, number);
                    }
                }
            }
            (None, None, Some(_)) => {}
            (None, None, None) => return Err("give `methods` and `routes`, or `actions`".to_string()),
            (Some(_), None, _) => return Err("`methods` needs `routes`".to_string()),
            (None, Some(_), _) => return Err("`routes` needs `methods`; write `[\"*\"]` for any".to_string()),
        }
        for action in covers.actions.iter().flat_map(NonEmpty::as_slice) {
            self.link(Kind::Action, action.as_str(), 0, number);
        }
        self.values.push(value);
        Ok(())
    }

    /// The values of all rules that the question is under, in the order in which they were added. It reads the action
    /// and, where there is none, the route, and the method where the route has a rule.
    pub fn find(&self, question: &Question<'_>) -> impl Iterator<Item = &T> {
        let mut found = Vec::new();
        if let Some(action) = question.action() {
            self.collect(Kind::Action, hash(&action), &action, &mut found);
        } else if let Some(route) = question.route() {
            self.routes(&route, &mut found);
        }
        // The method is read only where a rule names one: a rule for any method does not hang on it.
        let mut method = None;
        let mut values: Vec<u32> = Vec::new();
        for link in found {
            let covered = link.method == 0
                || self
                    .methods
                    .name(link.method as usize - 1)
                    .is_some_and(|wanted| method.get_or_insert_with(|| question.method()).as_str() == wanted);
            // Few rules cover one question: keeping their order costs next to nothing.
            if covered && let Err(at) = values.binary_search(&link.value) {
                values.insert(at, link.value);
            }
        }
        values.into_iter().filter_map(|value| self.values.get(value as usize))
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Every key that covers a route, in one pass: the hash of each prefix falls out of the hash of the whole.
    fn routes<'a>(&'a self, route: &str, found: &mut Vec<&'a Link>) {
        let mut state = HASH_START;
        let mut last = None;
        for (at, byte) in route.bytes().enumerate() {
            if byte == b'/' {
                let prefix = route.get(..at).unwrap_or_default();
                self.collect(Kind::Rest, state, prefix, found);
                last = Some((at, state));
            }
            state = step(state, byte);
        }
        self.collect(Kind::Rest, state, route, found);
        self.collect(Kind::Exact, state, route, found);
        if let Some((at, state)) = last {
            let segment = route.get(at + 1..).unwrap_or_default();
            if !segment.is_empty() && !segment.starts_with("{*") {
                self.collect(Kind::Segment, state, route.get(..at).unwrap_or_default(), found);
            }
        }
    }

    fn collect<'a>(&'a self, kind: Kind, hash: u32, key: &str, found: &mut Vec<&'a Link>) {
        let number = self.keys.find_hashed(kind.mark(hash), key);
        let mut next = number.and_then(|number| self.newest.get(number)).copied().unwrap_or_default();
        while let Some(link) = next.checked_sub(1).and_then(|number| self.links.get(number as usize)) {
            found.push(link);
            next = link.next;
        }
    }

    fn link(&mut self, kind: Kind, key: &str, method: u32, value: u32) {
        let (number, new) = self.keys.add_hashed(kind.mark(hash(key)), key);
        if new {
            self.newest.push(0);
        }
        if let Some(newest) = self.newest.get_mut(number) {
            self.links.push(Link { method, value, next: *newest });
            *newest = self.links.len() as u32;
        }
    }

    fn method_number(&mut self, method: &str) -> Result<u32, String> {
        if method == "*" {
            return Ok(0);
        }
        if !method.bytes().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_')) {
            return Err(format!(
                "`{method}` is not a method: they are upper case, as in `GET`; `*` stands for any"
            ));
        }
        Ok(self.methods.add(method).0 as u32 + 1)
    }
}

/// What kind of key a route of a configuration is, and the key.
fn route_key(route: &str) -> Result<(Kind, &str), String> {
    if !route.starts_with('/') {
        return Err(format!("the route `{route}` does not begin with `/`"));
    }
    let Some(star) = route.bytes().position(|byte| byte == b'*') else { return Ok((Kind::Exact, route)) };
    let prefix = route.get(..star).unwrap_or_default();
    match (prefix.strip_suffix('/'), route.get(star..)) {
        (Some(prefix), Some("*")) => Ok((Kind::Segment, prefix)),
        (Some(prefix), Some("**")) => Ok((Kind::Rest, prefix)),
        // A router marks a catch-all by a star inside of the braces, as its last segment: "/files/{*rest}".
        (None, Some(rest)) if prefix.ends_with("/{") && is_catch_all(rest) => Ok((Kind::Exact, route)),
        _ => Err(format!("the route `{route}` has a wildcard elsewhere than as its whole last segment")),
    }
}

/// What follows the opening brace of a catch-all: a star, a name, the closing brace, nothing else.
fn is_catch_all(rest: &str) -> bool {
    let name = rest.strip_prefix('*').and_then(|rest| rest.strip_suffix('}'));
    name.is_some_and(|name| {
        !name.is_empty() && !name.bytes().any(|byte| matches!(byte, b'*' | b'/' | b'{' | b'}'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::from_json;
    use crate::testing::{Facts, ask};

    fn covers<'a>(methods: &'a str, routes: &'a str) -> Covers<'a> {
        Covers {
            methods: Some(from_json(methods.as_bytes()).unwrap()),
            routes: Some(from_json(routes.as_bytes()).unwrap()),
            actions: None,
        }
    }

    fn under(method: &str, route: &str, pattern: &str) -> bool {
        let (methods, routes) = (r#"["GET"]"#, format!(r#"["{pattern}"]"#));
        let mut rules = Rules::new();
        rules.add(&covers(methods, &routes), ()).unwrap();
        ask(&Facts::request(method, "/any").route(route), |question| rules.find(question).count() == 1)
            .unwrap()
    }

    #[test]
    fn a_route_is_compared_with_the_template_as_a_whole() {
        assert!(under("GET", "/orders/{id}", "/orders/{id}"));
        assert!(!under("GET", "/orders/{number}", "/orders/{id}"));
        assert!(!under("GET", "/orders/{id}/items", "/orders/{id}"));
        assert!(!under("GET", "/Orders/{id}", "/orders/{id}"));
        assert!(!under("GET", "/orders/", "/orders"));
        assert!(under("GET", "/", "/"));
        assert!(!under("GET", "/x", "/"));
    }

    #[test]
    fn a_star_is_the_last_segment_and_a_catch_all_is_not_one_segment() {
        assert!(under("GET", "/shop.Inventory/Reserve", "/shop.Inventory/*"));
        assert!(under("GET", "/orders/{id}", "/orders/*"));
        assert!(under("GET", "/x", "/*"));
        assert!(!under("GET", "/orders", "/orders/*"));
        assert!(!under("GET", "/orders/", "/orders/*"));
        assert!(!under("GET", "/orders/{id}/items", "/orders/*"));
        assert!(!under("GET", "/shop.InventoryAdmin/Reserve", "/shop.Inventory/*"));
        assert!(!under("GET", "/files/{*rest}", "/files/*"));
        assert!(under("GET", "/files/{*rest}", "/files/{*rest}"));
    }

    #[test]
    fn two_stars_are_the_rest_on_a_segment_boundary() {
        for route in ["/orders", "/orders/", "/orders/{id}", "/orders/{id}/items", "/orders/{*rest}"] {
            assert!(under("GET", route, "/orders/**"), "{route}");
        }
        for route in ["/ordersx", "/order", "/x/orders", "/"] {
            assert!(!under("GET", route, "/orders/**"), "{route}");
        }
        assert!(under("GET", "/", "/**") && under("GET", "/a/b/c", "/**"));
    }

    #[test]
    fn methods_are_exact_and_get_is_not_head() {
        assert!(!under("HEAD", "/orders", "/orders"));
        assert!(!under("get", "/orders", "/orders"));
        let mut rules = Rules::new();
        rules.add(&covers(r#"["*"]"#, r#"["/orders"]"#), ()).unwrap();
        let facts = Facts::request("PURGE", "/orders").route("/orders");
        let host = ask(&facts, |question| rules.find(question).count()).unwrap();
        assert_eq!(host, 1);
    }

    #[test]
    fn no_route_and_an_action_are_under_no_rule_for_routes() {
        let mut rules = Rules::new();
        rules.add(&covers(r#"["*"]"#, r#"["/**"]"#), ()).unwrap();
        assert_eq!(ask(&Facts::request("GET", "/orders"), |q| rules.find(q).count()).unwrap(), 0);
        assert_eq!(ask(&Facts::action("/orders"), |q| rules.find(q).count()).unwrap(), 0);
    }

    #[test]
    fn an_action_is_under_the_rules_that_name_it() {
        let mut rules = Rules::new();
        let actions = Covers { actions: from_json(br#"["orders.cancel"]"#).ok(), ..Covers::default() };
        rules.add(&actions, ()).unwrap();
        assert_eq!(ask(&Facts::action("orders.cancel"), |q| rules.find(q).count()).unwrap(), 1);
        assert_eq!(ask(&Facts::action("orders.cancel.all"), |q| rules.find(q).count()).unwrap(), 0);
        let facts = Facts::request("GET", "/orders.cancel").route("orders.cancel");
        assert_eq!(ask(&facts, |q| rules.find(q).count()).unwrap(), 0, "an action is not a route");
    }

    #[test]
    fn what_is_found_comes_once_and_in_the_order_of_the_rules() {
        let mut rules = Rules::new();
        rules.add(&covers(r#"["*", "GET"]"#, r#"["/a/**", "/a/b", "/a/*"]"#), 0).unwrap();
        rules.add(&covers(r#"["POST"]"#, r#"["/a/b"]"#), 1).unwrap();
        rules.add(&covers(r#"["GET"]"#, r#"["/a/*"]"#), 2).unwrap();
        rules.add(&covers(r#"["GET"]"#, r#"["/**"]"#), 3).unwrap();
        let facts = Facts::request("GET", "/a/b").route("/a/b");
        assert_eq!(ask(&facts, |q| rules.find(q).copied().collect::<Vec<_>>()).unwrap(), [0, 2, 3]);
    }

    #[test]
    fn rules_that_could_be_misread_are_refused() {
        let refused =
            |methods: &str, routes: &str| Rules::new().add(&covers(methods, routes), ()).unwrap_err();
        for route in ["orders", "/a*", "/*/b", "/**/b", "/a/{id}*", "/***", "/a/{x*}", "/a/{*}", "/{*a}/b"] {
            let error = refused(r#"["GET"]"#, &format!(r#"["{route}"]"#));
            assert!(error.contains(&format!("`{route}`")), "{error}");
        }
        assert!(refused(r#"["get"]"#, r#"["/"]"#).contains("upper case"));
        let only = |methods: Option<&'static str>, routes: Option<&'static str>| {
            let list = |text: &'static str| from_json(text.as_bytes()).unwrap();
            let covers = Covers { methods: methods.map(list), routes: routes.map(list), actions: None };
            Rules::new().add(&covers, ()).unwrap_err()
        };
        assert!(only(Some(r#"["GET"]"#), None).contains("needs `routes`"));
        assert!(only(None, Some(r#"["/a"]"#)).contains("needs `methods`"));
        assert!(only(None, None).contains("give"));
    }

    /// The index against the sentence that it implements, over every pair of a few segments.
    #[test]
    fn the_index_finds_what_a_search_through_all_rules_finds() {
        let segments = ["", "a", "b", "{id}"];
        let last = ["", "a", "b", "{id}", "{*r}"];
        let mut routes: Vec<String> = last.iter().map(|a| format!("/{a}")).collect();
        routes.extend(segments.iter().flat_map(|a| last.iter().map(move |b| format!("/{a}/{b}"))));
        let mut patterns = routes.clone();
        patterns.extend(segments.iter().flat_map(|a| [format!("/{a}/*"), format!("/{a}/**")]));
        patterns.extend(["/*".to_owned(), "/**".to_owned()]);
        let mut rules = Rules::new();
        for (number, pattern) in patterns.iter().enumerate() {
            rules.add(&covers(r#"["GET"]"#, &format!(r#"["{pattern}"]"#)), number).unwrap();
        }
        for route in &routes {
            let slow: Vec<usize> =
                patterns.iter().enumerate().filter(|(_, p)| matches(p, route)).map(|(n, _)| n).collect();
            let facts = Facts::request("GET", "/any").route(route);
            assert_eq!(ask(&facts, |q| rules.find(q).copied().collect::<Vec<_>>()).unwrap(), slow, "{route}");
        }
    }

    fn matches(pattern: &str, route: &str) -> bool {
        if let Some(prefix) = pattern.strip_suffix("/**") {
            return route == prefix || route.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
        }
        match pattern.strip_suffix("/*") {
            Some(prefix) => route.rsplit_once('/').is_some_and(|(before, last)| {
                before == prefix && !last.is_empty() && !last.starts_with("{*")
            }),
            None => pattern == route,
        }
    }

    #[test]
    fn two_thousand_rules_are_told_apart() {
        let mut rules = Rules::new();
        for number in 0..2000 {
            rules
                .add(&covers(r#"["GET"]"#, &format!(r#"["/api/v{}/r{number}/{{id}}"]"#, number % 7)), number)
                .unwrap();
        }
        for number in 0..2000 {
            let facts =
                Facts::request("GET", "/any").route(&format!("/api/v{}/r{number}/{{id}}", number % 7));
            assert_eq!(ask(&facts, |q| rules.find(q).copied().collect::<Vec<_>>()).unwrap(), [number]);
        }
    }
}
