//! Rules by method, route and action, found through an index: two thousand cost no more to ask than two.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::Question;
use crate::config::{NonEmpty, Text};

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
    /// Every key, one after the other: entries point into it.
    text: String,
    entries: Vec<Entry>,
    links: Vec<Link>,
    /// Open addressing: 0 is free, otherwise the entry's number and one. A power of two long.
    table: Vec<u32>,
    methods: Vec<String>,
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

#[derive(Debug, Clone)]
struct Entry {
    kind: Kind,
    hash: u32,
    start: u32,
    end: u32,
    /// The newest link and one; 0 is none.
    links: u32,
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
            text: String::new(),
            entries: Vec::new(),
            links: Vec::new(),
            table: Vec::new(),
            methods: Vec::new(),
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
        // Methods are compared only where one is named: a rule for any method does not read it.
        let mut method = None;
        let mut values: Vec<u32> = found
            .into_iter()
            .filter_map(|link: &Link| {
                let wanted = match link.method {
                    0 => return Some(link.value),
                    number => self.methods.get(number as usize - 1)?,
                };
                (method.get_or_insert_with(|| question.method()) == wanted).then_some(link.value)
            })
            .collect();
        values.sort_unstable();
        values.dedup();
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
        let Some(entry) = self.entry(kind, hash, key).and_then(|number| self.entries.get(number)) else { return };
        let mut next = entry.links;
        while let Some(link) = next.checked_sub(1).and_then(|number| self.links.get(number as usize)) {
            found.push(link);
            next = link.next;
        }
    }

    /// The number of the entry with this key.
    fn entry(&self, kind: Kind, hash: u32, key: &str) -> Option<usize> {
        let mask = self.table.len().checked_sub(1)?;
        let mut slot = place(kind, hash) as usize & mask;
        // The table is never full: the search ends at a free place.
        loop {
            let number = self.table.get(slot)?.checked_sub(1)? as usize;
            let entry = self.entries.get(number)?;
            if entry.hash == hash && entry.kind == kind && self.key(entry) == key {
                return Some(number);
            }
            slot = (slot + 1) & mask;
        }
    }

    fn key(&self, entry: &Entry) -> &str {
        self.text.get(entry.start as usize..entry.end as usize).unwrap_or_default()
    }

    fn link(&mut self, kind: Kind, key: &str, method: u32, value: u32) {
        let hash = hash(key);
        let number = self.entry(kind, hash, key).unwrap_or_else(|| self.insert(kind, hash, key));
        if let Some(entry) = self.entries.get_mut(number) {
            self.links.push(Link { method, value, next: entry.links });
            entry.links = self.links.len() as u32;
        }
    }

    fn insert(&mut self, kind: Kind, hash: u32, key: &str) -> usize {
        let number = self.entries.len();
        let start = self.text.len() as u32;
        self.text.push_str(key);
        self.entries.push(Entry { kind, hash, start, end: self.text.len() as u32, links: 0 });
        // At most half full, so that a search ends soon.
        if self.entries.len() * 2 > self.table.len() { self.rebuild() } else { self.put(number) }
        number
    }

    fn rebuild(&mut self) {
        let length = (self.entries.len() * 4).next_power_of_two().max(16);
        self.table.clear();
        self.table.resize(length, 0);
        for number in 0..self.entries.len() {
            self.put(number);
        }
    }

    fn put(&mut self, number: usize) {
        let (Some(entry), Some(mask)) = (self.entries.get(number), self.table.len().checked_sub(1)) else { return };
        let mut slot = place(entry.kind, entry.hash) as usize & mask;
        while let Some(cell) = self.table.get_mut(slot) {
            if *cell == 0 {
                *cell = number as u32 + 1;
                return;
            }
            slot = (slot + 1) & mask;
        }
    }

    fn method_number(&mut self, method: &str) -> Result<u32, String> {
        if method == "*" {
            return Ok(0);
        }
        if !method.bytes().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_')) {
            return Err(format!("`{method}` is not a method: they are upper case, as in `GET`; `*` stands for any"));
        }
        let known = self.methods.iter().position(|known| known == method);
        let number = known.unwrap_or_else(|| {
            self.methods.push(method.to_string());
            self.methods.len() - 1
        });
        Ok(number as u32 + 1)
    }
}

/// What kind of key a route of a configuration is, and the key.
fn route_key(route: &str) -> Result<(Kind, &str), String> {
    let Some(rest) = route.strip_prefix('/') else {
        return Err(format!("the route `{route}` does not begin with `/`"));
    };
    // A brace holds the name of a parameter, where a router marks a catch-all by a star: "/files/{*rest}".
    let plain = |segment: &str| !segment.contains('*') || (segment.starts_with("{*") && segment.ends_with('}'));
    let (before, last) = rest.rsplit_once('/').unwrap_or(("", rest));
    if !before.split('/').all(plain) || !(plain(last) || last == "*" || last == "**") {
        return Err(format!("the route `{route}` has a wildcard elsewhere than as its whole last segment"));
    }
    let prefix = || route.strip_suffix(last).and_then(|prefix| prefix.strip_suffix('/')).unwrap_or_default();
    Ok(match last {
        "*" => (Kind::Segment, prefix()),
        "**" => (Kind::Rest, prefix()),
        _ => (Kind::Exact, route),
    })
}

/// FNV-1a, 32 bits: routes come from the operator and the router, so nobody can choose them to collide.
const HASH_START: u32 = 0x811c_9dc5;

fn step(state: u32, byte: u8) -> u32 {
    (state ^ u32::from(byte)).wrapping_mul(0x0100_0193)
}

fn hash(key: &str) -> u32 {
    key.bytes().fold(HASH_START, step)
}

/// Where the search for a key begins. The high bits are folded in: FNV's low ones alone are weak.
fn place(kind: Kind, hash: u32) -> u32 {
    let mixed = (hash ^ (kind as u32).wrapping_mul(0x9e37_79b9)).wrapping_mul(0x85eb_ca6b);
    mixed ^ (mixed >> 15)
}
